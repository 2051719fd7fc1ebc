"""Metrics of image scores: AUROC, average precision, F1 and rates at a threshold."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.metrics import ranking
from tasks.metrics.arrays import as_floats, image_scores, scores_by_label
from tasks.metrics.ranking import Floats


def image_metrics(scores: Any, labels: Any) -> dict[str, float | None]:
    """AUROC, AP and F1-max of image scores (N,) with labels (N,), 1 for defective."""
    positives, negatives = scores_by_label(scores, labels)
    distinct, which = ranking.distinct_scores(positives)
    counts = ranking.count_negatives(distinct, negatives)
    found = ranking.metrics_or_none(ranking.rank_positives(which, np.ones(which.size), counts), ())
    return {f"image_{name}": value for name, value in found.items()}


def image_metrics_by_type(
    scores: Any, labels: Sequence[str], good: str = "good"
) -> dict[str, dict[str, float | None]]:
    """For each defect type, `image_metrics` of its images and the good images.

    AP and F1-max depend on the number of images of a type; only AUROC can compare types.
    """
    names, values = np.array(labels, str), as_floats(scores)
    image_scores(values, names != good)
    kinds = [str(kind) for kind in np.unique(names) if kind != good]
    mine = {kind: (names == kind) | (names == good) for kind in kinds}
    return {kind: image_metrics(values[at], names[at] != good) for kind, at in mine.items()}


def roc_curve(scores: Any, labels: Any) -> tuple[Floats, Floats, Floats]:
    """False and true positive rates and their thresholds (score >= threshold is a defect), highest
    threshold first, starting just above the highest score; empty if one class is missing."""
    positives, negatives = (np.sort(part) for part in scores_by_label(scores, labels))
    if not positives.size or not negatives.size:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    distinct = np.unique(np.concatenate((positives, negatives)))[::-1]
    thresholds = np.append(np.nextafter(distinct[0], np.inf), distinct)
    fpr = 1 - np.searchsorted(negatives, thresholds) / negatives.size
    tpr = 1 - np.searchsorted(positives, thresholds) / positives.size
    return fpr, tpr, thresholds
