"""The Gaussians of a variational autoencoder: Kingma and Welling 2014, appendices B and C."""

import math

import torch
from torch import Tensor

LIMIT = 10.0  # of the log variance either way: beyond it exp() runs away and nothing is learnt


def split(out: Tensor) -> tuple[Tensor, Tensor]:
    """The output of an encoder, (B, 2 D, 1, 1), as mean and log variance (B, D, 1, 1)."""
    mean, log_variance = out.chunk(2, dim=1)
    return mean, log_variance.clamp(-LIMIT, LIMIT)


def sample(mean: Tensor, log_variance: Tensor) -> Tensor:
    """A sample of the Gaussian; gradients pass through it."""
    # drawn on the CPU: a seed then gives the same codes on every device
    noise = torch.randn(mean.shape).to(mean.device)
    return mean + torch.exp(log_variance / 2) * noise


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL divergence (B,) from the standard normal, in nats."""
    each = log_variance.exp() + mean.square() - 1 - log_variance
    return each.flatten(1).sum(dim=1) / 2


def surprise(x: Tensor, rebuilt: Tensor) -> Tensor:
    """Mean over a batch of -log p(x | code), in nats, at the variance that minimises it.

    Of N numbers with mean squared error m that is N / 2 (log(2 pi m) + 1): Rybkin et al. 2021.
    """
    error = (x - rebuilt).square().mean().clamp(min=1e-8)
    return x[0].numel() / 2 * (torch.log(2 * math.pi * error) + 1)
