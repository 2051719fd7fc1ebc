"""Mahalanobis distances of rows to the Gaussian of all rows but some, without another fit.

With n centred rows Z (n, D) at a position, whose mean is 0, and a group of g of them left out, the
others have the mean -sum_G z / (n - g) and the scatter Z'Z - Z_G' A Z_G, where A = I + 11' /
(n - g). Let m = n - g - ddof, r = m * ridge, M = Z'Z + r I and K = Z_G M^-1 Z_G'. By Woodbury's
identity the squared distances of the rows of the group are m * diag((A^-1 - K)^-1 - A), and
A^-1 = I - 11' / n. So each group needs only the inverse of a (g, g) matrix.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ad_models.base import Batch, Places
from ad_models.budget import free
from ad_models.gaussian import BLOCK, whitening
from ad_models.patches import embedded
from ad_models.run import Run

TOGETHER = 16  # images of several groups that are compared at once
Embed = Callable[[Tensor], tuple[Tensor, torch.Size]]


class Distances(NamedTuple):
    values: Tensor  # (g, P), of the images of a group
    grid: torch.Size  # h, w with h * w = P
    sides: torch.Size  # height and width of the images


@dataclass(frozen=True)
class Gaussians:
    """A fitted Gaussian of `count` rows at each of P positions."""

    mean: Tensor  # (P, D)
    whiten: Tensor  # `whitening` of the covariances (P, D, D); without a meaning beside `rows`
    count: int
    ridge: float
    ddof: int  # covariances are divided by count - ddof
    rows: Tensor | None = None  # (P, n, D), centred, where they are stored

    def left_out(
        self, embed: Embed, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Distances] | None:
        """Distances of each group to the Gaussians of the others; None where memory is short."""
        dims = self.mean.shape[1]
        few = self.rows is not None or self.count < dims
        largest = max(map(len, places), default=0)
        kept = self.count if few else dims + 4 * max(largest, TOGETHER)
        if self.rows is None and self.mean.nbytes * kept > free(run.device):
            return None
        way = self._of_rows if few else self._of_covariances
        return way(embed, loader, places, run)

    @torch.no_grad()
    def _of_rows(
        self, embed: Embed, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Distances]:
        """From the rows of all images, which are collected first, each once."""
        rows, grid, sides = self.rows, torch.Size(), torch.Size()
        if rows is None:
            positions, dims = self.mean.shape
            rows = self.mean.new_empty(positions, self.count, dims)
            missing = set(range(self.count))
            for group, batch in zip(places, run.steps(loader), strict=False):
                patches, grid = embedded(embed, batch.image)
                rows[:, list(group)] = (patches - self.mean).movedim(1, 0)
                sides = batch.image.shape[-2:]
                missing -= set(group)
                if not missing:
                    break
        else:
            image = next(iter(loader)).to(run.device).image
            (_, grid), sides = embed(image.split(1)[0]), image.shape[-2:]
        for found in of_few(rows, self.ridge, self.ddof, places):
            yield Distances(found, grid, sides)

    @torch.no_grad()
    def _of_covariances(
        self, embed: Embed, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Distances]:
        """From the rows of each group and the covariances."""
        size, whiten = 0, self.whiten
        for rows, grid, sides in self._alike(embed, loader, run):
            freedom = self.count - rows.shape[1] - self.ddof
            if rows.shape[1] != size:
                size, ridge = rows.shape[1], self.ridge * freedom / (self.count - self.ddof)
                del whiten  # of another size of groups
                whiten = with_ridge(self.whiten, self.ridge, ridge)
            inside = torch.einsum("pij,kgpj->pkgi", whiten, rows)
            products = (inside @ inside.mT).double() / (self.count - self.ddof)  # K
            identity = torch.eye(size, dtype=torch.float64, device=products.device)
            values = _distances(identity - 1 / self.count - products, self.count, freedom)
            for found in values.movedim(0, -1).float():
                yield Distances(found, grid, sides)

    def _alike(
        self, embed: Embed, loader: Iterable[Batch], run: Run
    ) -> Iterator[tuple[Tensor, torch.Size, torch.Size]]:
        """Centred rows (k, g, P, D) of k groups of one size, the grid and sides of their images:
        reading the covariances takes longer than multiplying by them."""
        parts: list[Tensor] = []
        grid = sides = torch.Size()
        for batch in run.steps(loader):
            patches, grid = embedded(embed, batch.image)
            sides = batch.image.shape[-2:]
            full = len(parts) * len(patches) + len(patches) > TOGETHER
            if parts and (full or len(patches) != len(parts[0])):
                yield torch.stack(parts), grid, sides
                parts = []
            parts.append(patches - self.mean)
        if parts:
            yield torch.stack(parts), grid, sides


def of_few(rows: Tensor, ridge: float, ddof: int, places: Places) -> list[Tensor]:
    """Distances (g, P) of the rows of each group, without it; rows (P, n, D), centred, n at most D
    or little more.

    K = I - r (ZZ' + r I)^-1, so that A^-1 - K = r Q, where Q is that inverse without its part along
    the vector of ones. In float64: with fewer rows than dimensions r Q is a small difference.
    """
    count = rows.shape[1]
    alike = {len(group): [one for one in places if len(one) == len(group)] for group in places}
    found = {size: rows.new_empty(len(ones) * size, len(rows)) for size, ones in alike.items()}
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        wide = rows[part].double()
        gram = wide @ wide.mT
        for size, ones in alike.items():
            at = torch.tensor([list(group) for group in ones], device=rows.device)
            freedom = count - size - ddof
            across = _across(gram, ridge * freedom)[:, at[:, :, None], at[:, None, :]]
            values = _distances(ridge * freedom * across, count, freedom)  # (P, groups, size)
            found[size][:, part] = values.flatten(1).mT.float()
    groups = {size: iter(values.split(size)) for size, values in found.items()}
    return [next(groups[len(group)]) for group in places]


def _across(gram: Tensor, ridge: float) -> Tensor:
    """(ZZ' + ridge * I)^-1 without its part along the ones, from ZZ' (P, n, n), float64."""
    count = gram.shape[-1]
    along = gram.diagonal(dim1=1, dim2=2).mean(dim=1).clamp(min=ridge)  # any number of this size
    gram = gram + (along / count)[:, None, None]
    gram.diagonal(dim1=1, dim2=2).add_(ridge)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    return inverse - (1 / (count * (ridge + along)))[:, None, None]


def with_ridge(whiten: Tensor, before: float, ridge: float) -> Tensor:
    """`whitening` (P, D, D) of the same covariances with another ridge."""
    found = torch.empty_like(whiten)
    identity = torch.eye(whiten.shape[-1], device=whiten.device)
    for part, into in zip(whiten.split(BLOCK), found.split(BLOCK), strict=True):
        factor = torch.linalg.solve_triangular(part, identity.expand_as(part), upper=False)
        into.copy_(factor @ factor.mT)
    return whitening(found, ridge - before)


def _distances(inner: Tensor, count: int, freedom: int) -> Tensor:
    """Distances (..., g) from A^-1 - K (..., g, g), float64."""
    size = inner.shape[-1]
    if size == 1:
        inverse = 1 / inner[..., 0]
    else:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(inner)).diagonal(dim1=-2, dim2=-1)
    return (freedom * (inverse - 1 - 1 / (count - size))).clamp(min=0).sqrt()
