"""Read images and masks as arrays. A DataError names the file and the remedy."""

from pathlib import Path

import numpy as np

from tasks.images.decode import Picture, decode_image
from tasks.workspace.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def read_image(path: Path) -> np.ndarray:
    """Image (H, W, C) as float32 in 0..1, C 1 (grey) or 3 (RGB)."""
    return decode_image(read_bytes(path), path).unit


def read_mask(path: Path) -> np.ndarray:
    """Mask (H, W) as bool: True where any channel is above 0."""
    return mask_pixels(decode_image(read_bytes(path), path))


def mask_pixels(picture: Picture) -> np.ndarray:
    """Mask (H, W) as bool of a decoded picture."""
    return np.any(picture.pixels > 0, axis=2)


def read_bytes(path: Path) -> bytes:
    """The content of a file; DataError if it cannot be read."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise DataError(f"{path}: permission denied; make the file readable") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the disk") from None
