"""Exact nearest neighbours as plain tensor code, so that it exports."""

import torch
from torch import Tensor

BLOCK = 2048  # bank rows a matrix product: bounds the (..., BLOCK) table of distances


def nearest(x: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance (...) of each vector of x (..., D) to its nearest row of `bank` (N, D),
    and that row's index (...).

    Found by |x|^2 - 2xy + |y|^2 over blocks of the bank; the winner's distance is computed anew
    from the difference, since the expanded form loses small distances to rounding.
    """
    best = torch.full_like(x[..., 0], torch.inf)
    index = torch.zeros_like(best, dtype=torch.long)
    for start in range(0, len(bank), BLOCK):
        block = bank[start : start + BLOCK]
        # |x|^2 is the same for every row of the bank and does not change which is nearest.
        squared, at = (block.square().sum(1) - 2 * x @ block.mT).min(dim=-1)
        closer = squared < best
        best = torch.where(closer, squared, best)
        index = torch.where(closer, at + start, index)
    return (x - bank[index]).norm(dim=-1), index
