"""Pictures for people: strip (image, heat map, contours), full-size overlay, and JPEGs on the disk.

One scale per product: the caller gives `top`, the map value that is drawn brightest, so that two
pictures of one product can be compared by eye. No picture is stretched to its own range.
"""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from tasks.errors import DataError
from tasks.files import write_bytes

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

# inferno, every 8th of its 256 colours: its lightness only rises, so it reads without colour vision
INFERNO = bytes.fromhex(
    "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e 7d1e6d "
    "8a226a 972766 a32c61 b0315b bc3754 c63d4d d04545 da4e3c e35933 eb6429 f1711f f67e14 "
    "f98c0a fb9b06 fcaa0f fbba1f f9c932 f5d949 f2e865 f3f586 fcffa4"
)
MASK_COLOUR = (
    86,
    180,
    233,
)  # blue and yellow stay apart in every kind of colour blindness
FOUND_COLOUR = (240, 228, 66)
CASING = (20, 20, 20)  # around both, so that they show on a bright part as well
HEAT_SHARE = 0.62  # of the overlay; the rest is the image in grey
GAP = 4  # pixels between the parts of a strip


def strip(
    image: Array,
    map: Array,
    mask: Flags | None,
    top: float,
    threshold: float | None = None,
    height: int = 160,
) -> Image.Image:
    """Image | heat-map overlay | contours, three equal parts side by side, `height` pixels high.

    image (H, W, C) and map (H, W) of one size; mask (H, W) is outlined in blue, map >= threshold
    in yellow.
    """
    _check(image, map, top)
    size = (max(1, round(height * image.shape[1] / image.shape[0])), height)
    plain = _picture(image).resize(size, Image.Resampling.LANCZOS)
    # both are shrunk before they are mixed: the colours cost 20 times less than at full size
    small = Image.fromarray(map.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    heat = heat_map(np.asarray(plain, np.float32) / np.float32(255), np.asarray(small), top)
    outlined = plain.copy()
    if threshold is not None:
        _outline(outlined, np.asarray(map >= threshold), FOUND_COLOUR)
    if mask is not None:
        _outline(outlined, _same_size(mask, image), MASK_COLOUR)
    return _side_by_side([plain, heat, outlined])


def heat_map(image: Array, map: Array, top: float) -> Image.Image:
    """The map's colours over the image in grey, at the image's size. Values are cut to 0..top."""
    _check(image, map, top)
    share = np.nan_to_num(map.astype(np.float64), nan=top) / (top or 1.0)  # NaN must catch the eye
    grey = image.mean(axis=2, keepdims=True).clip(0, 1) * 255
    mixed = HEAT_SHARE * _colours(share) + (1 - HEAT_SHARE) * grey
    return Image.fromarray(mixed.round().astype(np.uint8))


def save_jpeg(picture: Image.Image, path: Path) -> Path:
    """Write the picture as JPEG (quality 85); the name appears only with the whole file."""
    memory = io.BytesIO()
    picture.convert("RGB").save(memory, "JPEG", quality=85, optimize=True)
    return write_bytes(path, memory.getvalue())


def _colours(share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inferno's colours 0..255 (H, W, 3) for shares (H, W), cut to 0..1."""
    stops = np.frombuffer(INFERNO, np.uint8).reshape(-1, 3)
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(share, at, stops[:, channel]) for channel in range(3)], axis=2)


def _picture(image: Array) -> Image.Image:
    pixels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    return Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)


def _outline(picture: Image.Image, region: Flags, colour: tuple[int, int, int]) -> None:
    """Draw the border of a region (H, W), 2 pixels wide with a 1 pixel casing, on a picture."""
    # BOX and > 0: a defect of one pixel is still there when the picture is ten times smaller
    small = Image.fromarray(region.astype(np.float32)).resize(picture.size, Image.Resampling.BOX)
    # the zeros around it close the outline of a region that touches the border
    inside = Image.fromarray(np.pad((np.asarray(small) > 0).astype(np.uint8) * 255, 3))
    outer, core = (
        inside.filter(ImageFilter.MaxFilter(3)),
        inside.filter(ImageFilter.MinFilter(5)),
    )
    for wide, paint in ((outer, CASING), (inside, colour)):
        ring = (np.asarray(wide) > 0) & (np.asarray(core) == 0)
        picture.paste(paint, mask=Image.fromarray(ring[3:-3, 3:-3]))


def _side_by_side(parts: list[Image.Image]) -> Image.Image:
    width, height = parts[0].size
    joined = Image.new("RGB", (len(parts) * (width + GAP) - GAP, height), "white")
    for index, part in enumerate(parts):
        joined.paste(part, (index * (width + GAP), 0))
    return joined


def _same_size(mask: Flags, image: Array) -> Flags:
    if mask.shape != image.shape[:2]:
        raise DataError(f"mask is {mask.shape}, image {image.shape[:2]}; resize the mask first")
    return mask.astype(bool)


def _check(image: Array, map: Array, top: float) -> None:
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise DataError(f"image is {image.shape}; give (height, width, 1 or 3 channels)")
    if map.shape != image.shape[:2]:
        raise DataError(f"map is {map.shape}, image {image.shape[:2]}; resize the map first")
    if not (math.isfinite(top) and top >= 0):
        raise DataError(f"top of the colour scale is {top}; give a finite number, 0 or more")
