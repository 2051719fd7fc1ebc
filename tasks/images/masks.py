"""The known defective pixels of an image."""

from pathlib import Path

import numpy as np

from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_mask


def image_mask(
    preprocess: Preprocess, images: Path, row: dict[str, str], image: np.ndarray
) -> np.ndarray | None:
    """Mask (H, W) of the region of interest; None for a defect without a mask: its pixels are
    unknown."""
    if row["mask"]:
        return preprocess.region(read_mask(images / row["mask"]))
    if row["label"] == "good":
        return preprocess.region(np.zeros(image.shape[:2], bool))
    return None


def resize_mask(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The mask at another resolution, by nearest neighbour, still 0 or 1."""
    if mask.shape == shape:
        return mask
    rows, columns = (
        ((np.arange(n) + 0.5) * have / n).astype(int)
        for n, have in zip(shape, mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]
