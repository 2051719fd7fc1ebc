"""Mahalanobis distances of rows to the Gaussian of all rows but some, without another fit.

With n centred rows Z (n, D) at a position, whose mean is 0, and a group of g of them left out, the
others have the mean -sum_G z / (n - g) and the scatter Z'Z - Z_G' A Z_G, where A = I + 11' /
(n - g). Let m = n - g - ddof, r = m * ridge, M = Z'Z + r I and K = Z_G M^-1 Z_G'. By Woodbury's
identity the squared distances of the rows of the group are m * diag((A^-1 - K)^-1 - A), and
A^-1 = I - 11' / n. So each group needs only the inverse of a (g, g) matrix.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ad_models.base import Places
from ad_models.gaussian import BLOCK, whitening


def of_few(rows: Tensor, ridge: float, ddof: int, places: Places) -> Iterator[Tensor]:
    """Distances (g, P) for each group; rows (P, n, D), centred, n at most D or little more.

    K = I - r (ZZ' + r I)^-1, so that A^-1 - K = r Q, where Q is that inverse without its part along
    the vector of ones. In float64: with fewer rows than dimensions r Q is a small difference.
    """
    count = rows.shape[1]
    inverses: dict[int, Tensor] = {}  # Q (P, n, n) by size of a group
    for group in places:
        freedom = count - len(group) - ddof
        if len(group) not in inverses:
            inverses = {len(group): _across(rows, ridge * freedom)}
        at = torch.tensor(group, device=rows.device)
        across = inverses[len(group)][:, at[:, None], at]
        yield _distances(ridge * freedom * across, count, freedom)


def _across(rows: Tensor, ridge: float) -> Tensor:
    """(ZZ' + ridge * I)^-1 without its part along the ones, float64 (P, n, n)."""
    count = rows.shape[1]
    found = torch.empty(len(rows), count, count, dtype=torch.float64, device=rows.device)
    for part, into in zip(rows.split(BLOCK), found.split(BLOCK), strict=True):
        wide = part.double()
        gram = wide @ wide.mT
        diagonal = gram.diagonal(dim1=1, dim2=2)
        along = diagonal.mean(dim=1).clamp(min=ridge)[:, None, None]  # any number of this size
        gram += along / count
        diagonal += ridge
        gram = torch.cholesky_inverse(torch.linalg.cholesky(gram))
        into.copy_(gram - 1 / (count * (ridge + along)))
    return found


class LeftOut:
    """The same for many rows: from their mean (P, D) and `whitening` (P, D, D) of the covariance
    with this ridge. Takes the memory of one more `whitening`."""

    def __init__(self, mean: Tensor, whiten: Tensor, count: int, ridge: float, ddof: int) -> None:
        self.mean, self.whiten, self.count, self.ridge, self.ddof = mean, whiten, count, ridge, ddof
        self.adapted: dict[int, Tensor] = {}  # by size of a group; groups of one size should follow

    def distances(self, x: Tensor) -> Tensor:
        """Distances (g, P) of a group's rows x (g, P, D) to the Gaussian of the others."""
        size = len(x)
        freedom, all_but = self.count - size - self.ddof, self.count - self.ddof
        if size not in self.adapted:
            self.adapted.clear()
            ridge = self.ridge * freedom / all_but
            self.adapted[size] = with_ridge(self.whiten, self.ridge, ridge)
        inside = torch.einsum("pij,gpj->pgi", self.adapted[size], x - self.mean)
        products = (inside @ inside.mT).double() / all_but  # K
        identity = torch.eye(size, dtype=torch.float64, device=x.device)
        return _distances(identity - 1 / self.count - products, self.count, freedom)


def with_ridge(whiten: Tensor, before: float, ridge: float) -> Tensor:
    """`whitening` (P, D, D) of the same covariances with another ridge."""
    found = torch.empty_like(whiten)
    identity = torch.eye(whiten.shape[-1], device=whiten.device)
    for part, into in zip(whiten.split(BLOCK), found.split(BLOCK), strict=True):
        factor = torch.linalg.solve_triangular(part, identity.expand_as(part), upper=False)
        into.copy_(factor @ factor.mT)
    return whitening(found, ridge - before)


def _distances(inner: Tensor, count: int, freedom: int) -> Tensor:
    """Distances (g, P) from A^-1 - K (P, g, g), float64."""
    size = inner.shape[-1]
    if size == 1:
        inverse = 1 / inner[..., 0]
    else:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(inner)).diagonal(dim1=1, dim2=2)
    squared = freedom * (inverse - 1 - 1 / (count - size))
    return squared.clamp(min=0).sqrt().mT.float()
