"""Denoising diffusion: how an image fades into noise, and how one step takes it back.

Ho et al., NeurIPS 2020, https://arxiv.org/abs/2006.11239; norm guidance: Zhang et al. 2023,
https://arxiv.org/abs/2303.08730. `kept` is alpha-bar of the step: what is left of the image's
variance, broadcast against images (B, 3, H, W).
"""

import torch
from torch import Tensor


def schedule(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """alpha-bar (steps,) of noise variances that grow evenly; Ho et al., section 4."""
    added = torch.linspace(first, last, steps, dtype=torch.float64)
    return (1 - added).cumprod(0).float()


def noised(images: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """The image as it looks after the step; Ho et al., equation 4."""
    return kept.sqrt() * images + (1 - kept).sqrt() * noise


def denoised(noisy: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """The image at the start, where `noise` is what was added: `noised` solved for the image."""
    return (noisy - (1 - kept).sqrt() * noise) / kept.sqrt()


def guided(noisy: Tensor, noise: Tensor, kept: Tensor, coarse: Tensor, weight: float) -> Tensor:
    """The image at the start, drawn towards `coarse`, an estimate from a noisier step.

    The noise is corrected by how far the image lies from where `coarse` would be after
    the same step with the same noise.
    """
    there = noised(coarse, noise, kept)
    corrected = noise - weight * (1 - kept).sqrt() * (there - noisy)
    return denoised(noisy, corrected, kept)
