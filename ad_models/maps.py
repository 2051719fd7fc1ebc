"""Convert a coarse distance map to a full-resolution anomaly map."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 128  # positions of a line that are blurred by one product


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Blur maps (B, 1, H, W) with a Gaussian of `sigma` pixels.

    The kernel ends at 4 sigma and the border repeats the edge pixel: the same numbers as
    `scipy.ndimage.gaussian_filter`, which the papers use. As products of matrices, which a CPU does
    several times as fast as convolutions of one channel.
    """
    if not sigma:
        return maps
    maps = _finite(maps)
    for _ in range(2):  # along the width, then along the height
        at, band = (
            torch.from_numpy(part).to(maps.device) for part in _lines(maps.shape[-1], sigma)
        )
        maps = (maps[..., at] @ band.to(maps.dtype)).flatten(-2)[..., : maps.shape[-1]].mT
    return maps.contiguous()


@lru_cache(maxsize=32)
def _lines(length: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (blocks, n) of a line of `length` that each block reads, mirrored at both ends, and
    the kernel as a band matrix (n, positions of a block)."""
    radius = math.ceil(4 * sigma - 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    block = min(BLOCK, length)
    starts = np.arange(0, length, block)[:, None]
    at = (starts + np.arange(-radius, block + radius)) % (2 * length)
    band = np.zeros((block + 2 * radius, block))
    for position in range(block):
        band[position : position + len(kernel), position] = kernel / kernel.sum()
    return np.minimum(at, 2 * length - 1 - at), band


def window(side: int, sigma: float) -> Tensor:
    """A Gaussian window (side, side) of `sigma` pixels, however small; its sum is 1."""
    at = torch.arange(side) - (side - 1) / 2
    line = torch.exp(-0.5 * (at / sigma) ** 2)
    return torch.outer(line, line) / line.sum() ** 2


def highest(values: Tensor, share: float) -> Tensor:
    """Mean (B,) of this share of the values (B, N), the largest; of one of them at least."""
    return values.topk(max(1, int(share * values.shape[1])), dim=1).values.mean(dim=1)


def finish(distances: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """Upsample distances (B, 1, h, w) to `size`, then smooth: (B, 1, H, W).

    Both are linear along each axis, so together they are one product on each side of the map.
    """
    if not sigma:
        return F.interpolate(distances, size=tuple(size), mode="bilinear", align_corners=False)
    rows, columns = (
        torch.from_numpy(_enlarged(coarse, fine, sigma)).to(distances)
        for coarse, fine in zip(distances.shape[-2:], size, strict=True)
    )
    return rows @ _finite(distances) @ columns.mT


def _finite(maps: Tensor) -> Tensor:
    """Without infinity: 0 times it, in a product, would be no number far away from it too."""
    return maps.clamp(max=torch.finfo(maps.dtype).max / 4)


@lru_cache(maxsize=32)
def _enlarged(coarse: int, fine: int, sigma: float) -> np.ndarray:
    """Matrix (fine, coarse) that interpolates a line bilinearly, and then blurs it."""
    at = np.maximum(0, (np.arange(fine) + 0.5) * coarse / fine - 0.5)
    share = np.maximum(0, 1 - np.abs(np.minimum(at, coarse - 1)[:, None] - np.arange(coarse)))
    read, band = _lines(fine, sigma)
    blurred = (share.T[:, read] @ band).reshape(coarse, -1)[:, :fine]
    return np.ascontiguousarray(blurred.T)
