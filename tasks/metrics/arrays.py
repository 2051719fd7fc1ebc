"""Scores, maps and masks as checked numpy arrays; a DataError if a metric is not possible."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks.metrics.ranking import Bools, Floats
from tasks.workspace.errors import DataError


def scores_by_label(scores: Any, labels: Any) -> tuple[Floats, Floats]:
    """Scores of the defective and of the good images."""
    values, truth = image_scores(scores, labels)
    return values[truth], values[~truth]


def image_scores(scores: Any, labels: Any) -> tuple[Floats, Bools]:
    """Finite scores (N,) and whether each image is defective (N,)."""
    values, truth = as_floats(scores), as_bools(labels, "labels")
    if values.shape != truth.shape or values.ndim != 1:
        raise DataError(
            f"scores {values.shape} and labels {truth.shape}: give one of each an image"
        )
    if not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"score {where} is {values[where]}; the model gave no number for that image"
        )
    return values, truth


def valid_maps(maps: Any, masks: Any, first: int) -> tuple[Floats, Bools]:
    """Finite maps and masks (B, H, W); first: number of images before these."""
    scores, truth = without_channel(as_floats(maps)), without_channel(as_bools(masks, "masks"))
    if scores.shape != truth.shape or scores.ndim not in (2, 3):
        raise DataError(
            f"maps {scores.shape} and masks {truth.shape}: give both as (B, H, W), (B, 1, H, W) or "
            "(H, W); resize a map to its mask first"
        )
    height, width = scores.shape[-2:]
    scores, truth = scores.reshape(-1, height, width), truth.reshape(-1, height, width)
    for number, image in enumerate(scores, first):
        check_finite(image, number)
    return scores, truth


def without_channel(images: np.ndarray) -> np.ndarray:
    """Images (B, 1, H, W), as `predict` gives maps, as (B, H, W); others as they are."""
    return images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images


def check_finite(image: Floats, number: int) -> None:
    """DataError for a map with NaN or infinite values."""
    if not np.isfinite(image).all():
        raise DataError(
            f"map {number}, counted from 0, holds {np.count_nonzero(np.isnan(image))} NaN and "
            f"{np.count_nonzero(np.isinf(image))} infinite values; the model's fit diverged or "
            "its input was not finite"
        )


def defect_types(labels: Sequence[str] | str | None, images: int) -> Sequence[str | None]:
    """The defect type of each image; None if unknown."""
    types = [labels] if isinstance(labels, str) else [None] * images if labels is None else labels
    if len(types) != images:
        raise DataError(f"{len(types)} labels for {images} maps: give the type of each image")
    return types


def as_floats(values: Any) -> Floats:
    """The values as an array with the same ranking: float32, or more precise if needed."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.element_size() < 4 else values  # numpy has no bfloat16
    array = np.asarray(values)
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def as_bools(values: Any, name: str) -> Bools:
    """The values, 0 or 1, as booleans."""
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.dtype == bool:
        return array
    truth: Bools = array == 1
    if not (truth | (array == 0)).all():
        odd = array[~truth & (array != 0)][0]
        raise DataError(f"{name} hold {odd}, only 0 and 1 are allowed; binarise them first (> 0)")
    return truth
