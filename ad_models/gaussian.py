"""One Gaussian per image position, gathered in a single pass."""

import torch
from torch import Tensor


class RunningGaussian:
    """Mean and covariance at each of P positions, batch by batch.

    Merges batches with Chan, Golub and LeVeque (1979), so no batch is kept and nothing
    cancels when the mean is large. Memory: P * D * D floats, once.
    """

    def __init__(self, positions: int, dim: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(positions, dim, device=device)
        self.scatter = torch.zeros(positions, dim, dim, device=device)  # sum of outer products

    def update(self, x: Tensor) -> None:
        """Add vectors (B, P, D)."""
        added = len(x)
        total = self.count + added
        mean = x.mean(dim=0)
        delta = mean - self.mean
        shift = delta * (self.count * added / total) ** 0.5  # its outer product merges the means
        rows = torch.cat([x - mean, shift[None]]).movedim(1, 0)  # (P, B + 1, D)
        self.scatter.baddbmm_(rows.mT, rows)  # in place: a P * D * D temporary would double it
        self.mean += delta * (added / total)
        self.count = total

    def covariance(self) -> Tensor:
        """Unbiased covariance (P, D, D)."""
        return self.scatter / (self.count - 1)


def whitening(covariance: Tensor, ridge: float, block: int = 256) -> Tensor:
    """Inverse Cholesky factors (P, D, D) of `covariance + ridge * I`, written over `covariance`.

    |whitening @ (x - mean)| is the Mahalanobis distance. Never `torch.linalg.inv`: batched LU
    gives wrong numbers on multi-threaded CPUs (pytorch PR 181570).
    """
    identity = torch.eye(covariance.shape[-1], device=covariance.device)
    for part in covariance.split(block):
        factor = torch.linalg.cholesky(part + ridge * identity)
        part.copy_(torch.linalg.solve_triangular(factor, identity.expand_as(part), upper=False))
    return covariance
