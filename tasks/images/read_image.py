"""Read images and masks as arrays. A DataError names the file and the remedy."""

import os
from pathlib import Path, PurePath

import numpy as np

from tasks.images.bounds import check_size
from tasks.images.decode import LONGEST_SIGNATURE, decode_image, known_format
from tasks.images.marks import marked_pixels
from tasks.workspace.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def read_image(path: Path) -> np.ndarray:
    """Image (H, W, C) as float32 in 0..1, C 1 (grey) or 3 (RGB)."""
    return decode_image(read_bytes(path), path).unit


def read_mask(path: Path) -> np.ndarray:
    """Mask (H, W) as bool: True where it marks a defect."""
    return mask_pixels(read_bytes(path), path)


def mask_pixels(data: bytes, name: PurePath | str) -> np.ndarray:
    """Mask (H, W) as bool of the bytes of a file."""
    return marked_pixels(decode_image(data, name, alpha=True), name)


def read_bytes(path: Path) -> bytes:
    """The content of an image file; DataError if it cannot be read, or is larger than its header
    allows."""
    try:
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise DataError(f"{path}: cannot be read (not a file); give an image")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            check_size(file, size, known_format(file.read(LONGEST_SIGNATURE)), path)
            file.seek(0)
            return file.read()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; check the path") from None
    except PermissionError:
        raise DataError(f"{path}: permission denied; make the file readable") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the disk") from None
