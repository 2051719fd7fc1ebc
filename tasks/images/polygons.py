"""Polygons of the tools that draw masks, to pixels and back.

A pixel is inside where its centre is: what lies at (0, 0)..(1, 1) is the first pixel. So the
outlines of a mask, filled again, are that mask bit for bit.
"""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]  # (H, W)
Points = NDArray[np.float64]  # (n, 2), x and y in pixels
PIECE = 1 << 20  # crossings of lines of pixels that are looked at together
MOST = 20 << 20  # crossings of one polygon: more is no outline of a defect


def filled(points: Points, shape: tuple[int, int]) -> Mask:
    """The pixels (H, W) inside a closed polygon: where it crosses itself, inside and outside change
    each time. ValueError where that would take minutes."""
    if len(points) < 3 or not np.isfinite(points).all():
        raise ValueError("its polygon needs three points or more, all of them numbers")
    height, width = shape
    starts, ends = points, np.roll(points, -1, axis=0)
    # the lines of pixels whose middle an edge crosses, from `first` to before `last`
    first = np.clip(np.ceil(np.minimum(starts[:, 1], ends[:, 1]) - 0.5), 0, height).astype(int)
    last = np.clip(np.ceil(np.maximum(starts[:, 1], ends[:, 1]) - 0.5), 0, height).astype(int)
    crossed = np.maximum(last - first, 0)
    if crossed.sum() > MOST:
        raise ValueError(f"its polygon crosses {crossed.sum():,} lines of pixels; simplify it")
    turns = np.zeros((height, width + 1), np.uint8)
    for part in np.array_split(np.arange(len(points)), crossed.sum() // PIECE + 1):
        edge = np.repeat(part, crossed[part])
        row = np.arange(len(edge)) - np.repeat(np.cumsum(crossed[part]), crossed[part])
        row += last[edge]
        (x0, y0), (x1, y1) = starts[edge].T, ends[edge].T
        x = x0 + (row + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        column = np.clip(np.ceil(x - 0.5), 0, width).astype(int)
        np.bitwise_xor.at(turns, (row, column), 1)
    return np.bitwise_xor.accumulate(turns, axis=1)[:, :width].astype(bool)


def outlines(mask: Mask) -> list[Points]:
    """The outlines of what a mask (H, W) marks, each (n, 2); holes have outlines of their own."""
    from contourpy import contour_generator

    padded = np.pad(mask, 1).astype(np.float32)
    return [np.asarray(line)[:-1] - 0.5 for line in contour_generator(z=padded).lines(0.5)]


def ellipse(centre: tuple[float, float], radii: tuple[float, float], points: int = 128) -> Points:
    """A polygon (n, 2) in place of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.array(centre) + np.array(radii) * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def turned(points: Points, degrees: float, around: tuple[float, float]) -> Points:
    """The points (n, 2), turned clockwise as a viewer shows them."""
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return (points - around) @ np.array([[cosine, sine], [-sine, cosine]]) + around
