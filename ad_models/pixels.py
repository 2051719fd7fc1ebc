"""Conversion between ImageNet-normalised images and colours in 0..1."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.imagenet import MEAN, STD


def unit(images: Tensor) -> Tensor:
    """ImageNet-normalised images (B, 3, H, W) as colours in 0..1."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return images * std + mean


def normalised(colours: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 as ImageNet-normalised images."""
    mean, std = (torch.tensor(v, device=colours.device).view(3, 1, 1) for v in (MEAN, STD))
    return (colours - mean) / std


def signed(images: Tensor, side: int) -> Tensor:
    """ImageNet-normalised images (B, 3, H, W) as colours in -1..1 (B, 3, side, side)."""
    small = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return 2 * unit(small) - 1


def unsigned(colours: Tensor, size: Sequence[int]) -> Tensor:
    """Colours in -1..1 (B, 3, h, w) as ImageNet-normalised images (B, 3, *size)."""
    return normalised((F.interpolate(colours, tuple(size), mode="bilinear") + 1) / 2)
