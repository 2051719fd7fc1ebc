"""Views for a network with a fixed input size: whole images, or patches.

`side`: pixels of the network's input. `stride`: pixels between patches; None: the whole image,
resized.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.errors import ConfigError, InputError


def check_views(side: int, stride: int | None) -> None:
    """Raise ConfigError for a `side` or `stride` that no view can have."""
    if side < 32 or side & (side - 1):
        raise ConfigError(f"side must be a power of two and at least 32, got {side}")
    check_stride(side, stride)


def check_stride(side: int, stride: int | None) -> None:
    """Raise ConfigError for a `stride` that no view can have."""
    if stride is not None and not 1 <= stride <= side:
        raise ConfigError(f"stride must be 1 to side ({side}), or none, got {stride}")


def draw(images: Tensor, side: int, stride: int | None) -> Tensor:
    """One training view (B, C, side, side) of each image: a random patch, or the whole image."""
    if stride is None:
        return resized(images, (side, side))
    height, width = _fitting(images, side)
    tops = torch.randint(height - side + 1, (len(images),)).tolist()
    lefts = torch.randint(width - side + 1, (len(images),)).tolist()
    at = zip(images, tops, lefts, strict=True)
    return torch.stack([x[:, top : top + side, left : left + side] for x, top, left in at])


def assemble(
    seen: Callable[[Tensor], Tensor], images: Tensor, side: int, stride: int | None
) -> Tensor:
    """Apply `seen` to views (N, C, side, side) and join its maps or images: (B, D, H, W).
    Overlapping patches are averaged.
    """
    height, width = size = images.shape[-2:]
    if stride is None:
        return resized(seen(resized(images, (side, side))), size)
    _fitting(images, side)
    tops, lefts = _starts(height, side, stride), _starts(width, side, stride)
    whole = torch.zeros_like(images[:, :1])
    for top in tops:  # a row of patches at a time: all at once would not fit for large images
        row = [images[:, :, top : top + side, left : left + side] for left in lefts]
        parts = seen(torch.cat(row)).unflatten(0, (len(lefts), -1))
        for left, part in zip(lefts, parts.unbind(0), strict=True):
            whole = whole + F.pad(part, (left, width - left - side, top, height - top - side))
    count = _covered(tops, side, height)[:, None] * _covered(lefts, side, width)
    return whole / count.to(whole)


def inspect(
    seen: Callable[[Tensor], tuple[Tensor, Tensor]],
    images: Tensor,
    side: int,
    stride: int | None,
) -> tuple[Tensor, Tensor]:
    """As `assemble`, where `seen` gives scores (N,) and maps of views: the highest score of the
    views of each image (B,), and the joined maps."""
    columns = 1 if stride is None else len(_starts(images.shape[-1], side, stride))
    scores = []

    def maps(views: Tensor) -> Tensor:
        score, found = seen(views)
        scores.append(score.unflatten(0, (columns, -1)).amax(0))
        return found

    joined = assemble(maps, images, side, stride)
    return torch.stack(scores).amax(0), joined


def resized(images: Tensor, size: Sequence[int]) -> Tensor:
    """Images (B, C, H, W) at another size; unchanged if they already have it."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size=tuple(size), mode="bilinear", antialias=True)


def _fitting(images: Tensor, side: int) -> tuple[int, int]:
    height, width = images.shape[-2:]
    if min(height, width) < side:
        raise InputError(f"patches of {side} pixels do not fit images of {height} x {width}")
    return height, width


def _starts(length: int, side: int, stride: int) -> list[int]:
    """Start positions of patches; the last one ends at the border."""
    return [*range(0, length - side, stride), length - side]


def _covered(starts: list[int], side: int, length: int) -> Tensor:
    """Number of patches that cover each of `length` positions."""
    at = torch.arange(length)
    return torch.stack([(at >= start) & (at < start + side) for start in starts]).sum(0)
