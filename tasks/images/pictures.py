"""Pictures for people: heat maps, alone and over their image, and JPEG files.

All pictures of a product have the same scale: the caller gives `top`, the map value of the
brightest colour. So two pictures can be compared by eye. No picture is scaled to its own range.
Colours are clear where a map is low and cover from the limit of a region on, so that a good part
looks like one.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ad_models.colours import coverage, inferno_colours, mixed_colours
from tasks.workspace.errors import DataError
from tasks.workspace.files import write_bytes

Array = NDArray[np.float32]

SIDE = 320  # pixels, the longer side of a small picture; heat maps are smooth, and half as large
QUALITY = 75  # of a small picture


def heat_map(image: Array, map: Array, top: float) -> Image.Image:
    """The map's colours over the grey image, at the image's size. Values are clipped to 0..top."""
    _check(image, map, top)
    share = np.nan_to_num(map.astype(np.float64), nan=top) / (top or 1.0)  # NaN must be visible
    grey = image.mean(axis=2, keepdims=True).clip(0, 1) * 255
    mixed = mixed_colours(inferno_colours(share), share, grey)
    return Image.fromarray(mixed.round().astype(np.uint8))


def map_colours(map: Array, top: float, side: int) -> Image.Image:
    """The map's colours alone (RGBA), both sides at most `side` pixels; the map is resized before
    colouring."""
    values = np.nan_to_num(map.astype(np.float32), nan=top)
    small = Image.fromarray(values)
    small.thumbnail((side, side), Image.Resampling.BILINEAR)
    share = np.asarray(small, np.float64) / (top or 1.0)
    colours = np.dstack([inferno_colours(share), 255 * coverage(share)])
    return Image.fromarray(colours.round().astype(np.uint8))


def rgb_picture(image: Array) -> Image.Image:
    """The image (H, W, 1 or 3) in 0..1 as an 8-bit RGB picture."""
    values = np.clip(image, 0, 1)
    values *= 255  # in place: three times as fast with large images
    pixels = np.rint(values, out=values).astype(np.uint8)
    return Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)


def shrink_picture(whole: Image.Image, side: int) -> Image.Image:
    """The picture, with both sides at most `side` pixels."""
    whole.thumbnail((side, side), Image.Resampling.HAMMING, reducing_gap=2.0)
    return whole


def encode_webp(picture: Image.Image) -> bytes:
    """The picture as WebP: half the bytes of a JPEG of the same quality."""
    memory = io.BytesIO()
    picture.save(memory, "WEBP", quality=QUALITY, method=2)  # higher: twice the time for 6 %
    return memory.getvalue()


def save_jpeg(picture: Image.Image, path: Path) -> Path:
    """Write the picture as JPEG (quality 85). The file appears only when it is complete."""
    memory = io.BytesIO()
    picture.convert("RGB").save(memory, "JPEG", quality=85, optimize=True)
    return write_bytes(path, memory.getvalue())


def _check(image: Array, map: Array, top: float) -> None:
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(f"image is {image.shape}; give (height, width, 1 or 3 channels)")
    if map.shape != image.shape[:2]:
        raise DataError(f"map is {map.shape}, image {image.shape[:2]}; resize the map first")
    if not (math.isfinite(top) and top >= 0):
        raise DataError(f"top of the colour scale is {top}; give a finite number, 0 or more")
