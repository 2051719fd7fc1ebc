"""Colour images with 16 bits per channel, of which Pillow keeps only 8."""

import io
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from tasks.images.bounds import AGAIN, MAX_SAMPLES
from tasks.workspace.errors import DataError

GREY, RGB = 1, 2  # TIFF: photometric interpretation
SIDEWAYS = range(5, 9)  # EXIF orientations that change width and height


def is_deep_colour(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Whether the file has more than one channel with 16 bits, which Pillow reduces to 8."""
    if image.format == "PNG":
        return data[24] == 16 and not image.mode.startswith("I")  # IHDR: bit depth
    return len(bits_of(image)) > 1 and max(bits_of(image)) == 16


def bits_of(image: Image.Image) -> tuple[int, ...]:
    """Bits of each channel of a TIFF; (8,) for other formats."""
    return tags(image).get(TiffImagePlugin.BITSPERSAMPLE, (1,)) if image.format == "TIFF" else (8,)


def tags(image: Image.Image) -> dict[int, Any]:
    """The tags of a TIFF."""
    return image.tag_v2  # type: ignore[attr-defined]


def deep_pixels(image: ImageFile.ImageFile, data: bytes, name: PurePath | str) -> np.ndarray:
    """Pixels (H, W, C) as uint16, alpha included."""
    import imagecodecs
    import tifffile

    if image.format == "PNG":
        pixels: Any = imagecodecs.png_decode(data)
    else:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            if page.nbytes > image.width * image.height * MAX_SAMPLES * 2:  # other tags than ours
                raise DataError(f"{name}: damaged TIFF ({page.shape} values); {AGAIN}")
            pixels = page.asarray()
            if page.photometric not in (GREY, RGB):
                raise DataError(f"{name}: neither grey nor RGB; export it as RGB")
            if page.axes.startswith("S"):  # one plane per channel
                pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim != 3 or pixels.dtype != np.uint16:
        raise DataError(f"{name}: {pixels.dtype} pixels {pixels.shape}; export it as 16-bit RGB")
    return pixels


def without_alpha(pixels: np.ndarray) -> np.ndarray:
    """The first 3 channels, or the first, of pixels (H, W, C)."""
    return pixels[..., : 3 if pixels.shape[2] >= 3 else 1]


def turn_pixels(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W, C), rotated and mirrored by the EXIF orientation 1..8."""
    if orientation in SIDEWAYS:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
