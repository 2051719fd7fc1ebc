"""Images on which most algorithms contradict the label: candidates for relabelling."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tasks.errors import DataError


class Disagreement(NamedTuple):
    path: str
    label: str
    suggested: str  # good, or defect: which type, a person must say
    against: list[str]  # algorithms that contradict the label
    asked: int  # algorithms that took a decision
    surprise: float  # 0..1, mean rank of the score against the label among all images


def disagreements(
    paths: Sequence[str],
    labels: Sequence[str],
    scores: Mapping[str, Sequence[float]],
    decisions: Mapping[str, Sequence[str]],
) -> list[Disagreement]:
    """Images that more than half of the algorithms decide against their label, worst first.

    scores and decisions: of each algorithm, in the order of paths. A decision of review or
    none counts as no vote. Scores of two algorithms share no scale, their ranks do.
    """
    surprises = {name: surprise(values, labels) for name, values in scores.items()}
    uneven = [name for name in decisions if len(decisions[name]) != len(paths)]
    if scores.keys() != decisions.keys() or uneven or len(labels) != len(paths):
        raise DataError(
            f"{len(paths)} paths, {len(labels)} labels, scores of {sorted(scores)}, decisions of "
            f"{sorted(decisions)}; give one of each for every image"
        )
    found = []
    for index, (path, label) in enumerate(zip(paths, labels, strict=True)):
        expected = "good" if label == "good" else "defect"
        votes = {name: taken[index] for name, taken in decisions.items()}
        votes = {name: vote for name, vote in votes.items() if vote in ("good", "defect")}
        against = sorted(name for name, vote in votes.items() if vote != expected)
        if 2 * len(against) > len(votes):
            mean = float(np.mean([surprises[name][index] for name in votes]))
            other = "defect" if expected == "good" else "good"
            found.append(Disagreement(path, label, other, against, len(votes), mean))
    return sorted(found, key=lambda one: (-len(one.against) / one.asked, -one.surprise, one.path))


def surprise(scores: Sequence[float], labels: Sequence[str]) -> np.ndarray:
    """How far (n,) in 0..1 each image's score lies on the wrong side for its label.

    1 is the highest of all scores for a good image, and the lowest for a defective one.
    """
    from scipy.stats import rankdata

    if len(scores) != len(labels):
        raise DataError(f"{len(scores)} scores and {len(labels)} labels; give one each an image")
    ranks = (rankdata(scores) - 1) / max(1, len(scores) - 1)
    return np.where(np.array(labels) == "good", ranks, 1 - ranks)
