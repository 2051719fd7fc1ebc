"""One Gaussian per image position, gathered in a single pass."""

from typing import Self

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from ad_models.budget import SMALLER, claim, free
from ad_models.run import Run

BLOCK = 64  # positions at a time


def claim_gaussians(run: Run, positions: int, dims: int, each: int) -> None:
    """Refuse Gaussians that take more than is free; `each`: numbers that one takes."""
    most = int((free(run.device) / 4 / positions) ** 0.5)
    what = f"{positions} Gaussians of {dims} dimensions"
    claim(run, what, 4 * positions * each, f"set dims to at most {most}, or {SMALLER}")


class RunningGaussian:
    """Mean and covariance at each of P positions, batch by batch.

    Merges batches with Chan, Golub and LeVeque (1979), so no batch is kept and nothing
    cancels when the mean is large. Memory: P * D * D floats, once.
    """

    def __init__(self, positions: int, dim: int, device: torch.device) -> None:
        self.count = 0
        self.mean = torch.zeros(positions, dim, device=device)
        self.scatter = torch.zeros(positions, dim, dim, device=device)  # sum of outer products

    @classmethod
    def restored(cls, count: int, mean: Tensor, whiten: Tensor, ridge: float) -> Self:
        """As it was before `whitening` with `ridge` gave `whiten` (P, D, D)."""
        gaussian = cls(mean.shape[0], mean.shape[1], mean.device)
        gaussian.count, gaussian.mean = count, mean.clone()
        identity = torch.eye(mean.shape[1], device=mean.device)
        for scatter, part in zip(gaussian.scatter.split(BLOCK), whiten.split(BLOCK), strict=True):
            factor = torch.linalg.solve_triangular(part, identity.expand_as(part), upper=False)
            scatter.copy_((factor @ factor.mT - ridge * identity) * (count - 1))
        return gaussian

    def update(self, x: Tensor) -> None:
        """Add vectors (B, P, D)."""
        total = self.count + len(x)
        # In blocks and in place: a P * D * D temporary would double the memory.
        for start in range(0, len(self.scatter), BLOCK):
            at = slice(start, start + BLOCK)
            mean = x[:, at].mean(dim=0)
            delta = mean - self.mean[at]
            shift = delta * (self.count * len(x) / total) ** 0.5  # its square merges the means
            rows = torch.cat([x[:, at] - mean, shift[None]]).movedim(1, 0)  # (p, B + 1, D)
            self.scatter[at].baddbmm_(rows.mT, rows)
            self.mean[at] += delta * (len(x) / total)
        self.count = total

    def covariance(self) -> Tensor:
        """Unbiased covariance (P, D, D)."""
        return self.scatter / (self.count - 1)


class FewRows:
    """The same of at most `most` vectors a position, fewer than dimensions: they are kept.

    Memory: P * most * D floats, and P * most * most when it is factorised. What is left free of
    `rows` is zero, which changes nothing.
    """

    def __init__(self, positions: int, dim: int, most: int, device: torch.device) -> None:
        self.count = 0
        self.rows = torch.zeros(positions, most, dim, device=device)

    @staticmethod
    def saves(most: int, dim: int) -> bool:
        """Whether this is smaller than a covariance."""
        return most * (most + dim) < dim * dim

    def room(self, added: int) -> bool:
        return self.count + added <= self.rows.shape[1]

    def update(self, x: Tensor) -> None:
        """Add vectors (B, P, D), for which there must be room."""
        self.rows[:, self.count : self.count + len(x)] = x.movedim(1, 0)
        self.count += len(x)

    def centre(self) -> Tensor:
        """Mean (P, D), which is taken off the rows. It is to be done once, at the end."""
        rows = self.rows[:, : self.count]
        mean = rows.mean(dim=1)
        rows -= mean[:, None]
        return mean

    def running(self) -> RunningGaussian:
        """The other form, for more vectors than this was made for."""
        positions, _, dim = self.rows.shape
        gaussian = RunningGaussian(positions, dim, self.rows.device)
        gaussian.update(self.rows[:, : self.count].movedim(1, 0))
        return gaussian


def whitening(covariance: Tensor, ridge: float, block: int = BLOCK) -> Tensor:
    """Inverse Cholesky factors (P, D, D) of `covariance + ridge * I`, written over `covariance`.

    |whitening @ (x - mean)| is the Mahalanobis distance. Never `torch.linalg.inv`: batched LU
    gives wrong numbers on multi-threaded CPUs (pytorch PR 181570).
    """
    covariance.diagonal(dim1=1, dim2=2).add_(ridge)
    if covariance.is_cpu:
        return _whitened(covariance)
    identity = torch.eye(covariance.shape[-1], device=covariance.device)
    for part in covariance.split(block):
        factor = torch.linalg.cholesky(part)
        part.copy_(torch.linalg.solve_triangular(factor, identity.expand_as(part), upper=False))
    return covariance


def _whitened(covariance: Tensor) -> Tensor:
    """The same by LAPACK, matrix by matrix and in place. torch's threads get into each other's way
    on matrices this small, and it has no inverse of a triangle, only a solve of twice the work."""
    matrices = covariance.numpy()
    factorise, invert = get_lapack_funcs(["potrf", "trtri"], [matrices])
    for number, matrix in enumerate(matrices):
        # LAPACK counts by columns: the upper triangle that it sees is our lower one
        _, failed = factorise(matrix.T, lower=0, clean=1, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError(f"covariance {number} is not positive definite")
        invert(matrix.T, lower=0, overwrite_c=1)
    return covariance


def mahalanobis(delta: Tensor, whiten: Tensor) -> Tensor:
    """Distances (B, P) of delta = x - mean (B, P, D) by `whitening` (P, D, D)."""
    # einsum, not `whiten @ delta[..., None]`: matmul would expand whiten to (B, P, D, D)
    return torch.einsum("pij,bpj->bpi", whiten, delta).norm(dim=-1)


def mahalanobis_of_few(delta: Tensor, rows: Tensor, whiten: Tensor, ridge: float) -> Tensor:
    """The same from N centred rows (P, N, D), whose covariance has the rank N - 1 at most.

    whiten (P, N, N): `whitening` of rows @ rows.mT with (N - 1) * ridge. By Woodbury's identity,
    the inverse of Z'Z / (N - 1) + ridge * I is (I - Z' (ZZ' + (N - 1) ridge I)^-1 Z) / ridge.
    """
    inside = torch.einsum("pnd,bpd->bpn", rows, delta)
    seen = torch.einsum("pmn,bpn->bpm", whiten, inside)
    squared = delta.square().sum(-1) - seen.square().sum(-1)
    return (squared.clamp(min=0) / ridge).sqrt()
