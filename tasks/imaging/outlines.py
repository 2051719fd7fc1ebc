"""Outlines of regions as SVG paths: sharp at every size, and a few hundred bytes each."""

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray


def outline(region: NDArray[np.bool_], size: tuple[int, int]) -> str:
    """The border of a region (H, W) in a picture of `size` (width, height) pixels; empty: none.

    A pixel of the picture belongs to the region where any that it stands for does: a defect of
    one pixel is still there when the picture is ten times smaller.
    """
    width, height = size
    small = np.zeros((height, width), np.float32)
    rows, columns = np.nonzero(region)
    at = (rows * height // region.shape[0], columns * width // region.shape[1])
    small[at] = 1
    # zeros around it close the outline of a region that touches the border
    lines = contour_generator(z=np.pad(small, 1)).lines(0.5)
    return "".join(path(np.asarray(line) - 0.5) for line in lines)  # from centres to corners


def path(points: NDArray[np.float64]) -> str:
    """Points (n, 2) of a closed line, to half a pixel, without those amid straight pieces."""
    points = np.round(2 * points) / 2
    points = points[np.r_[True, (np.diff(points, axis=0) != 0).any(axis=1)]][:-1]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points[turns]) + "Z"
