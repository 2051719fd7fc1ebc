"""Between ImageNet-normalised images and colours in 0..1."""

import torch
from torch import Tensor

from ad_models.base import MEAN, STD


def unit(images: Tensor) -> Tensor:
    """ImageNet-normalised images (B, 3, H, W) as colours in 0..1."""
    mean, std = (torch.tensor(v, device=images.device).view(3, 1, 1) for v in (MEAN, STD))
    return images * std + mean


def normalised(colours: Tensor) -> Tensor:
    """Colours (B, 3, H, W) in 0..1 as ImageNet-normalised images."""
    mean, std = (torch.tensor(v, device=colours.device).view(3, 1, 1) for v in (MEAN, STD))
    return (colours - mean) / std
