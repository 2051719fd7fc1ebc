"""Denoising diffusion: add noise to an image, and estimate the image in one step.

Ho et al., NeurIPS 2020, https://arxiv.org/abs/2006.11239; norm guidance: Zhang et al. 2023,
https://arxiv.org/abs/2303.08730. `kept` is alpha-bar of the step: the remaining share of the
image's variance, broadcast to images (B, 3, H, W).
"""

import torch
from torch import Tensor


def schedule(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """alpha-bar (steps,) of noise variances that grow evenly; Ho et al., section 4."""
    added = torch.linspace(first, last, steps, dtype=torch.float64)
    return (1 - added).cumprod(0).float()


def noised(images: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """The noisy image after the step; Ho et al., equation 4."""
    return kept.sqrt() * images + (1 - kept).sqrt() * noise


def denoised(noisy: Tensor, noise: Tensor, kept: Tensor) -> Tensor:
    """The original image, if `noise` was added: the inverse of `noised`."""
    return (noisy - (1 - kept).sqrt() * noise) / kept.sqrt()


def guided(noisy: Tensor, noise: Tensor, kept: Tensor, coarse: Tensor, weight: float) -> Tensor:
    """The original image, moved towards `coarse`, an estimate from a noisier step.

    The paper corrects the noise by `weight` times the difference between the image and `coarse`
    after the same step with the same noise; written out, this is what remains.
    """
    return torch.lerp(denoised(noisy, noise, kept), coarse, weight * (1 - kept))
