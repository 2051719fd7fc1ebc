"""A heat map that explains itself: the contour of what was found, the verdict, and the scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ad_models.colours import ANCHOR, inferno_colours, mixed_colours

NARROWEST = 360  # pixels, so that the words have room
WORDS = 28  # the strip's width, in heights of its letters
FOUND, CASING = (240, 228, 66), (20, 20, 20)  # of the contour and its edge, as on the pages
PAPER, INK, QUIET = (251, 251, 250), (32, 36, 42), (98, 106, 115)


def sheet(
    drawn: Image.Image, found: NDArray[np.bool_] | None, words: str, limit: str
) -> Image.Image:
    """A heat map with the contour of the regions `found` (H, W), on a strip with `words` and the
    scale of the colours. limit: the map value above which a region is drawn, as text; empty where
    there is none."""
    picture = outlined(drawn, found)
    width = max(picture.width, NARROWEST)
    letters = max(12, width // WORDS)
    whole = Image.new("RGB", (width, picture.height + 4 * letters), PAPER)
    whole.paste(picture, ((width - picture.width) // 2, 0))
    pen = ImageDraw.Draw(whole)
    font = ImageFont.load_default(letters)
    edge, line = letters // 2, picture.height + letters // 2
    pen.text((edge, line), words, INK, font)
    bar = colour_bar(width // 3, letters // 2)
    line += letters + letters // 2
    whole.paste(bar, (edge, line + letters // 3))
    told = f"clear: normal, middle: limit of a region {limit}" if limit else "clear: normal"
    pen.text((2 * edge + bar.width, line), told, QUIET, ImageFont.load_default(letters * 0.72))
    return whole


def outlined(picture: Image.Image, found: NDArray[np.bool_] | None) -> Image.Image:
    """The picture with a line around each region, on a dark casing that shows it on any colour."""
    if found is None or not found.any():
        return picture
    thick = max(1, picture.width // 300)
    pixels = np.array(picture)
    inner, outer = ring(found, thick), ring(found, 2 * thick)
    pixels[outer] = CASING
    pixels[inner] = FOUND
    return Image.fromarray(pixels)


def ring(found: NDArray[np.bool_], thick: int) -> NDArray[np.bool_]:
    """The pixels around each region (H, W), at most `thick` away from it."""
    from scipy.ndimage import maximum_filter

    return maximum_filter(found, 2 * thick + 1) & ~found


def colour_bar(width: int, height: int) -> Image.Image:
    """The colours from 0 to the end of the scale as they lie over grey, with a tick at the
    limit."""
    share = np.tile(np.linspace(0, 1, width), (height, 1))
    pixels = mixed_colours(inferno_colours(share), share, np.full((height, width, 1), 150.0))
    at = round(ANCHOR * width)
    pixels[:, at : at + max(1, width // 100)] = 255
    return Image.fromarray(pixels.round().astype(np.uint8))
