"""A product that a small model learns in seconds, and its defects."""

import torch
from torch import Tensor


def weave(count: int, seed: int) -> Tensor:
    """A chequered texture (count, 3, 64, 64), shifted at random."""
    g = torch.Generator().manual_seed(seed)
    at = 0.4 * torch.arange(64.0)
    x, y = torch.rand(2, count, 1, 1, 1, generator=g) * 6.28
    pattern = torch.sin(at.view(1, 1, 1, 64) + x) * torch.sin(at.view(1, 1, 64, 1) + y)
    return pattern + 0.1 * torch.randn(count, 3, 64, 64, generator=g)


def squares(images: Tensor) -> tuple[Tensor, Tensor]:
    """Images (B, 3, 64, 64) of which the first half get a bright square, and masks (B, 64, 64)."""
    images, masks = images.clone(), torch.zeros(len(images), 64, 64, dtype=torch.bool)
    corners = torch.randint(
        0, 40, (len(images) // 2, 2), generator=torch.Generator().manual_seed(0)
    )
    for at, (y, x) in enumerate(corners.tolist()):
        images[at, :, y : y + 24, x : x + 24] += 1
        masks[at, y : y + 24, x : x + 24] = True
    return images, masks
