"""Resize images and maps, equal to torch.nn.functional.interpolate to the last digits of float32.

Each side has its own weights. For an image these are a triangle that is as wide as the scale
(bilinear, antialias=True); for a map they are those of the two nearest pixels (bilinear).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
BLOCK = 8  # output pixels whose weights form one matrix
HALF = np.float32(0.5)  # all in float32, as torch: the rounding of a position is visible
ONE_THREAD = 250_000  # products in one matmul: above, OpenBLAS starts threads, which takes longer


def resize_image(image: Array, shape: tuple[int, int]) -> Array:
    """Image (H, W, C) -> (C, h, w) of `shape`, with antialiasing where it becomes smaller."""
    height, width, channels = image.shape
    h, w = shape
    rows = _weigh(image.reshape(height, width * channels), h).reshape(h, width, channels)
    columns = np.ascontiguousarray(rows.transpose(1, 2, 0)).reshape(width, channels * h)
    resized = _weigh(columns, w).reshape(w, channels, h)
    return np.ascontiguousarray(resized.transpose(1, 2, 0))


def resize_map(map: Array, shape: tuple[int, int]) -> Array:
    """Map (h, w) -> (H, W) of `shape`, without antialiasing."""
    wide = _mix(np.ascontiguousarray(map.T), shape[1])
    return _mix(np.ascontiguousarray(wide.T), shape[0])


def _weigh(lines: Array, count: int) -> Array:
    """Lines (n, m) -> (count, m), each a weighted mean of its neighbours."""
    if len(lines) == count:
        return lines
    resized = np.empty((count, lines.shape[1]), np.float32)
    for first, start, weights in _blocks(len(lines), count):
        rows, seen = weights.shape
        part = max(1, ONE_THREAD // weights.size)
        for at in range(0, lines.shape[1], part):
            source = lines[start : start + seen, at : at + part]
            np.matmul(weights, source, out=resized[first : first + rows, at : at + part])
    return resized


@lru_cache(64)
def _blocks(length: int, count: int) -> list[tuple[int, int, Array]]:
    """First output line, first input line and weights (lines out, lines in) of each block."""
    centres, scale = _centres(length, count)
    support = max(scale, np.float32(1))
    starts = np.maximum(centres - support + HALF, 0).astype(int)
    ends = np.minimum(centres + support + HALF, length).astype(int)
    found = []
    for first in range(0, count, BLOCK):
        block = slice(first, first + BLOCK)
        start, end = starts[block][:, None], ends[block][:, None]
        at = np.arange(start[0, 0], end[-1, 0])
        distance = at.astype(np.float32) - centres[block][:, None] + HALF
        weights = np.maximum(1 - np.abs(distance / support), 0)
        weights[(at < start) | (at >= end)] = 0
        found.append((first, int(at[0]), weights / weights.sum(axis=1, keepdims=True)))
    return found


def _mix(lines: Array, count: int) -> Array:
    """Lines (n, m) -> (count, m), each between the two nearest ones."""
    if len(lines) == count:
        return lines
    at = np.maximum(_centres(len(lines), count)[0] - HALF, 0)
    before = np.minimum(at.astype(int), len(lines) - 1)
    after = np.minimum(before + 1, len(lines) - 1)
    share = (at - before).clip(0, 1).astype(np.float32)[:, None]
    mixed = lines[before]
    mixed *= 1 - share
    other = lines[after]
    other *= share
    mixed += other
    return mixed


def _centres(length: int, count: int) -> tuple[Array, np.float32]:
    """Centres (count,) of the output lines in input lines, and input lines for one of them."""
    scale = np.float32(length) / np.float32(count)
    return scale * (np.arange(count, dtype=np.float32) + HALF), scale
