"""Outlines of regions as SVG paths: sharp at every size, a few hundred bytes each."""

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray


def outline(region: NDArray[np.bool_], size: tuple[int, int]) -> str:
    """The border of a region (H, W) in a picture of `size` (width, height) pixels; empty if there
    is no region.

    A pixel of the picture belongs to the region if any of its source pixels does. So a defect of
    one pixel is still visible when the picture is ten times smaller.
    """
    rows, columns = np.nonzero(region)
    if not len(rows):
        return ""
    width, height = size
    rows, columns = rows * height // region.shape[0], columns * width // region.shape[1]
    top, left = rows.min(), columns.min()  # only around the region, for speed
    small = np.zeros((rows.max() - top + 3, columns.max() - left + 3), np.float32)
    small[rows - top + 1, columns - left + 1] = 1  # zeros around it close the outline
    lines = contour_generator(z=small).lines(0.5)
    origin = np.array([left, top]) - 0.5  # from centres to corners
    return "".join(svg_path(np.asarray(line) + origin) for line in lines)


def svg_path(points: NDArray[np.float64]) -> str:
    """SVG path of a closed line through points (n, 2), to half a pixel, without points inside
    straight pieces."""
    points = np.round(2 * points) / 2
    points = points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]][:-1]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points[turns]) + "Z"
