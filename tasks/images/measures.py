"""Measures of images and masks: brightness, sharpness, difference hash, regions."""

from typing import Any

import numpy as np
from PIL import Image

from tasks.images.decode import Picture

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
THUMBNAIL = 32  # pixels a side


def luminance(picture: Picture) -> np.ndarray:
    """Grey image (H, W) as float32 in 0..1."""
    if picture.pixels.shape[2] == 1:
        return picture.unit[..., 0]
    return picture.unit @ LUMA


def image_facts(picture: Picture, grey: np.ndarray) -> dict[str, Any]:
    height, width, channels = picture.pixels.shape
    return {
        "width": width,
        "height": height,
        "channels": channels,
        "bits": picture.bits,
        "format": picture.format,
        "dhash": dhash(grey),
        "brightness": round(float(grey.mean(dtype=np.float64)), 6),
        "sharpness": float(f"{sharpness(grey):.6g}"),
    }


def sharpness(grey: np.ndarray) -> float:
    """Variance of the Laplacian (4 neighbours) of a grey image, 0 below 3 x 3 pixels."""
    if min(grey.shape) < 3:
        return 0.0
    laplacian = grey[1:-1, 2:] + grey[1:-1, :-2] + grey[2:, 1:-1] + grey[:-2, 1:-1]
    laplacian -= 4 * grey[1:-1, 1:-1]
    return float(laplacian.var(dtype=np.float64))


def dhash(grey: np.ndarray) -> str:
    """Difference hash, 64 bits as hex: for each of 8 x 8 areas, whether it is darker than its right
    neighbour."""
    small = area_means(grey, 9, 8)
    return np.packbits(small[:, :-1] < small[:, 1:]).tobytes().hex()


def area_means(grey: np.ndarray, width: int, height: int) -> np.ndarray:
    """Area means (height, width) of a grey image."""
    resized = Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
    return np.asarray(resized)


def mask_facts(mask: np.ndarray) -> dict[str, Any]:
    """Size, share of defective pixels and number of 8-connected regions of a mask (H, W)."""
    from scipy.ndimage import label

    return {
        "mask_width": mask.shape[1],
        "mask_height": mask.shape[0],
        "mask_share": round(float(mask.mean()), 8),
        "mask_regions": int(label(mask, np.ones((3, 3)))[1]),
    }
