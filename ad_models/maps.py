"""Convert a coarse distance map to a full-resolution anomaly map."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def mirrored(length: int, radius: int) -> Tensor:
    """Indices that extend `length` positions by `radius` on both sides, edges repeated."""
    at = torch.arange(-radius, length + radius) % (2 * length)
    return torch.minimum(at, 2 * length - 1 - at)


def smooth(maps: Tensor, sigma: float) -> Tensor:
    """Blur maps (B, 1, H, W) with a Gaussian of `sigma` pixels.

    The kernel ends at 4 sigma and the border repeats the edge pixel: the same numbers as
    `scipy.ndimage.gaussian_filter`, which the papers use.
    """
    if sigma == 0:
        return maps
    radius = math.ceil(4 * sigma - 0.5)
    x = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    rows, columns = (mirrored(n, radius).to(maps.device) for n in maps.shape[-2:])
    padded = maps[..., rows, :][..., columns]
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def window(side: int, sigma: float) -> Tensor:
    """A Gaussian window (side, side) of `sigma` pixels, however small; its sum is 1."""
    at = torch.arange(side) - (side - 1) / 2
    line = torch.exp(-0.5 * (at / sigma) ** 2)
    return torch.outer(line, line) / line.sum() ** 2


def highest(values: Tensor, share: float) -> Tensor:
    """Mean (B,) of this share of the values (B, N), the largest; of one of them at least."""
    return values.topk(max(1, int(share * values.shape[1])), dim=1).values.mean(dim=1)


def finish(distances: Tensor, size: Sequence[int], sigma: float) -> Tensor:
    """Upsample distances (B, 1, h, w) to `size`, then smooth: (B, 1, H, W)."""
    return smooth(
        F.interpolate(distances, size=tuple(size), mode="bilinear", align_corners=False), sigma
    )
