"""One Gaussian per image position, computed in a single pass."""

from itertools import pairwise
from typing import Self

import numpy as np
import torch
from scipy.linalg import get_lapack_funcs
from torch import Tensor

from ad_models.budget import SMALLER, free, require_memory
from ad_models.run import Run

BLOCK = 64  # positions at a time
BANDS = 4  # of rows of a triangular factor


def claim_gaussians(run: Run, positions: int, dims: int, each: int) -> None:
    """An error if the Gaussians need more than the free memory; `each`: numbers per Gaussian."""
    most = int((free(run.device) / 4 / positions) ** 0.5)
    what = f"{positions} Gaussians of {dims} dimensions"
    require_memory(run, what, 4 * positions * each, f"set dims to at most {most}, or {SMALLER}")


class RunningGaussian:
    """Mean and covariance at each of P positions, batch by batch.

    Merges batches with Chan, Golub and LeVeque (1979), so no batch is kept and nothing cancels when
    the mean is large. Memory: P * D * D floats, once. One pass through them costs as much as many
    rows, so several batches are collected first: the first D vectors in the memory of their
    squares, later ones above the diagonal, which is free because of symmetry.
    """

    def __init__(self, positions: int, dim: int, device: torch.device) -> None:
        self.count = 0
        self.merged = 0  # of `count`; the others wait
        self.mean = torch.zeros(positions, dim, device=device)
        # Sum of outer products of what is merged, right on and below the diagonal
        self.scatter = torch.empty(positions, dim, dim, device=device)
        self.room = [self.scatter]  # for vectors that wait: (P, number, part of D), side by side

    @classmethod
    def restored(cls, count: int, mean: Tensor, whiten: Tensor, ridge: float) -> Self:
        """The covariance before `whitening` with `ridge` gave `whiten` (P, D, D)."""
        gaussian = cls(mean.shape[0], mean.shape[1], mean.device)
        gaussian.mean = mean.clone()
        identity = torch.eye(mean.shape[1], device=mean.device)
        for scatter, part in zip(gaussian.scatter.split(BLOCK), whiten.split(BLOCK), strict=True):
            factor = torch.linalg.solve_triangular(part, identity.expand_as(part), upper=False)
            scatter.copy_((factor @ factor.mT - ridge * identity) * (count - 1))
        gaussian._have_merged(count)
        return gaussian

    def update(self, x: Tensor) -> None:
        """Add vectors (B, P, D)."""
        waiting = self.count - self.merged
        if waiting + len(x) > self.room[-1].shape[1]:
            return self._merge(x)
        widths = [part.shape[2] for part in self.room]
        for part, piece in zip(self.room, x.movedim(1, 0).split(widths, dim=2), strict=True):
            part[:, waiting : waiting + len(x)] = piece
        self.count += len(x)

    def _merge(self, x: Tensor) -> None:
        waiting = self.count - self.merged
        total = self.count + len(x)
        added = total - self.merged
        # In blocks and in place: a P * D * D temporary would double the memory.
        for start in range(0, len(self.scatter), BLOCK):
            at = slice(start, start + BLOCK)
            parts = [part[at, :waiting] for part in self.room]
            kept = torch.cat(parts, dim=2) if len(parts) > 1 else parts[0]
            rows = torch.cat([kept, x[:, at].movedim(1, 0), self.mean[at, None]], dim=1)
            mean = rows[:, :-1].mean(dim=1)
            rows -= mean[:, None]
            rows[:, -1] *= (self.merged * added / total) ** 0.5  # its square merges the means
            self.scatter[at].baddbmm_(rows.mT, rows, beta=1 if self.merged else 0)
            self.mean[at] = self.mean[at].lerp(mean, added / total)
        self._have_merged(total)

    def _have_merged(self, count: int) -> None:
        self.count = self.merged = count
        half = self.mean.shape[1] // 2
        corner = self.scatter[:, :half, half:]
        self.room = [corner[:, ::2], corner[:, 1::2, :half]]  # a vector takes two lines

    def estimate(self, ddof: int = 1) -> tuple[Tensor, Tensor]:
        """Mean (P, D) and covariance (P, D, D), the sum of squares divided by `count - ddof`.

        In place, since it may be gigabytes: call it once, at the end.
        """
        if self.merged < self.count:
            self._merge(self.mean.new_empty(0, *self.mean.shape))
        half = self.mean.shape[1] // 2
        for scatter in self.scatter.split(BLOCK):
            scatter.div_(self.count - ddof)
            scatter[:, :half, half:] = scatter[:, half:, :half].mT
        return self.mean, self.scatter


class FewRows:
    """The same for at most `most` vectors per position, fewer than dimensions: the vectors are
    stored.

    Memory: P * most * D floats, and P * most * most when it is factorised. Unused `rows` are zero,
    which does not change the result.
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
        """Add vectors (B, P, D); there must be enough space."""
        self.rows[:, self.count : self.count + len(x)] = x.movedim(1, 0)
        self.count += len(x)

    def centre(self) -> Tensor:
        """Mean (P, D), which is subtracted from the rows. Call it once, at the end."""
        rows = self.rows[:, : self.count]
        mean = rows.mean(dim=1)
        rows -= mean[:, None]
        return mean

    def running(self) -> RunningGaussian:
        """The other form, for more vectors than this form can hold."""
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
        return _inverse_factors(covariance)
    identity = torch.eye(covariance.shape[-1], device=covariance.device)
    for part in covariance.split(block):
        upper = torch.linalg.cholesky(part, upper=True)
        inverse = torch.linalg.solve_triangular(upper, identity.expand_as(part), upper=True)
        part.copy_(inverse.mT)
    return covariance


def _inverse_factors(covariance: Tensor) -> Tensor:
    """The same by LAPACK, matrix by matrix and in place: .7 to .6 of the time that it takes with a
    triangular solve of torch."""
    matrices = covariance.numpy()
    factorise, invert = get_lapack_funcs(["potrf", "trtri"], [matrices])
    for matrix in matrices:
        # LAPACK counts by columns: the upper triangle that it sees is our lower one
        _, failed = factorise(matrix.T, lower=0, clean=1, overwrite_a=1)
        if failed:
            raise np.linalg.LinAlgError("a covariance is not positive definite: raise epsilon")
        invert(matrix.T, lower=0, overwrite_c=1)
    return covariance


def mahalanobis(delta: Tensor, whiten: Tensor) -> Tensor:
    """Distances (B, P) of delta = x - mean (B, P, D) by `whitening` (P, D, D)."""
    delta = together(delta)
    if not torch.compiler.is_exporting():
        return torch.bmm(whiten, delta.movedim(0, 2)).norm(dim=1).mT
    # The factors are zero above the diagonal: an exported model holds bands of them, each without
    # the zeros behind it, and does not read those for each image.
    dims, rows = delta.shape[-1], delta.movedim(0, 1)
    ends = [dims * band // BANDS for band in range(BANDS + 1)]
    parts = [
        rows[..., :end] @ whiten[:, start:end, :end].mT
        for start, end in pairwise(ends)
        if end > start
    ]
    return torch.cat(parts, dim=-1).norm(dim=-1).mT


def mahalanobis_of_few(delta: Tensor, rows: Tensor, whiten: Tensor, ridge: float) -> Tensor:
    """The same from N centred rows (P, N, D), whose covariance has the rank N - 1 at most.

    whiten (P, N, N): `whitening` of rows @ rows.mT with (N - 1) * ridge. By Woodbury's identity,
    the inverse of Z'Z / (N - 1) + ridge * I is (I - Z' (ZZ' + (N - 1) ridge I)^-1 Z) / ridge.
    """
    delta = together(delta)
    inside = torch.einsum("pnd,bpd->bpn", rows, delta)
    seen = torch.einsum("pmn,bpn->bpm", whiten, inside)
    squared = delta.square().sum(-1) - seen.square().sum(-1)
    return (squared.clamp(min=0) / ridge).sqrt()


def together(vectors: Tensor) -> Tensor:
    """The same vectors (B, P, D), each in one place: those of a transposed map are scattered in
    memory, and small products by them took 2 to 200 times as long on a CPU."""
    return vectors.contiguous()
