"""Select few points that represent many: greedy k-center selection, many centres at a time.

Gonzalez (1985): each centre is the point farthest from all before it. Distances to the set only
decrease. So while a candidate is farther than every row was that is no candidate when the round
began, it is the farthest of all, and other rows need no check. Each round ends with one matrix
product.
"""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ad_models.errors import InputError

CANDIDATES = 512  # number of candidates of a round; more of them cost more than they save
SAME = 1e-6  # of a squared norm: a squared distance below that is rounding in float32
TABLE = 2**21  # distances that are computed at once; more leave the caches of a CPU
Tick = Callable[[int, int], None]


class Cover(NamedTuple):
    indices: Tensor  # (count,)
    radius: float  # distance of the row that is farthest from all of them


def project(x: Tensor, dim: int, seed: int) -> Tensor:
    """Random projection of x (N, D) to (N, dim); distances survive up to scale (Johnson and
    Lindenstrauss). Returns x itself if it is already smaller."""
    if x.shape[1] <= dim:
        return x
    generator = torch.Generator().manual_seed(seed)
    matrix = torch.randn(x.shape[1], dim, generator=generator) / dim**0.5
    return x @ matrix.to(x.device)


def coreset(
    x: Tensor, count: int, projected: int, seed: int, tick: Tick = lambda done, total: None
) -> Tensor:
    """Indices of `count` rows of x (N, D) that cover it, chosen in `projected` dims. On the device
    of x."""
    return cover(project(x, projected, seed), count, seed, tick).indices.to(x.device)


class Points(NamedTuple):
    """Rows (N, D) seen from their mean: far from the origin, squares would lose the distances to
    rounding. They are moved part by part, so that there is no second copy."""

    x: Tensor  # (N, D)
    mean: Tensor  # (D,)
    norms: Tensor  # (N,), squared distances to the mean

    @classmethod
    def of(cls, x: Tensor) -> "Points":
        mean = x.mean(0)
        parts = x.split(max(1, TABLE // x.shape[1]))
        return cls(x, mean, torch.cat([(part - mean).square().sum(1) for part in parts]))

    def at(self, rows: Tensor | slice) -> Tensor:
        """Some rows (n, D), from the mean."""
        return self.x[rows] - self.mean

    def some(self, rows: Tensor) -> "Points":
        """Points with these rows alone."""
        return Points(self.x[rows], self.mean, self.norms[rows])


def cover(x: Tensor, count: int, seed: int = 0, tick: Tick = lambda done, total: None) -> Cover:
    """`count` rows of x (N, D), each the farthest from all before it, and how well they cover x.

    The covering radius is at most twice the optimum. Distances are expanded in the type of x: rows
    that are equally far but for rounding may change places, and points that are closer than a
    thousandth of their distance from the mean count as equal. Returns fewer indices if x has fewer
    distinct points. It needs memory for a few vectors of length N. `tick(done, total)` is called
    after each round.

    Raises InputError if a number of x is not finite.
    """
    x = x.detach() if x.dtype in (torch.float32, torch.float64) else x.detach().float()
    points = Points.of(x)
    if broken := int((~x.sum(1).isfinite()).sum()):
        raise InputError(
            f"{broken} of {len(x)} feature vectors hold a number that is not finite; look at the "
            "backbone's weights, and fit in float32 (training.precision)"
        )
    count = max(1, min(count, len(x)))
    tick(0, count)
    nearest = torch.full_like(points.norms, torch.inf)  # squared distance to the set so far
    start = torch.randint(len(x), (1,), generator=torch.Generator().manual_seed(seed))
    chosen = [start.to(x.device)]
    lower(nearest, points, chosen[0])
    for new in farther(nearest, points, count - 1):
        chosen.append(new)
        tick(sum(map(len, chosen)), count)
    lower(nearest, points, chosen[-1])
    tick(count, count)
    return Cover(torch.cat(chosen).cpu(), float(nearest.max()) ** 0.5)


def farther(nearest: Tensor, points: Points, count: int, least: float = 0.0) -> Iterator[Tensor]:
    """Indices of up to `count` more points (N) in several parts, each the farthest at its step.
    nearest (N,): squared distances to the set so far; updated for all parts but the last. least:
    none is taken at this squared distance or below."""
    if not len(nearest):
        return
    while count > 0 and float(nearest.max()) > least:
        far, candidates = nearest.topk(min(CANDIDATES, len(nearest)))
        last = float(far[-1]) if len(far) < len(nearest) else 0.0
        new = candidates[pick(points.some(candidates), far, count, max(least, last))]
        yield new
        count -= len(new)
        if count:
            lower(nearest, points, new)


def lower(nearest: Tensor, points: Points, new: Tensor) -> None:
    """Update the squared distances (N,) with the centres `new`."""
    centres, across = points.at(new), points.norms[new]
    size = max(1, TABLE // max(len(new), points.x.shape[1]))
    for first in range(0, len(nearest), size):
        part = slice(first, first + size)
        table = torch.addmm(across, points.at(part), centres.T, alpha=-2)  # less the row's norm
        found = apart(table.amin(1) + points.norms[part], points.norms[part])
        nearest[part] = torch.minimum(nearest[part], found)
    nearest[new] = 0  # exactly, so that they are never taken again


def apart(squared: Tensor, norms: Tensor) -> Tensor:
    """Squared distances, and 0 where they may be nothing but rounding of these squared norms."""
    return torch.where(squared > SAME * norms, squared, 0)


def pick(candidates: Points, far: Tensor, count: int, least: float) -> Tensor:
    """Up to `count` indices of candidates (M), each the farthest at its step. The first is always
    chosen, the others while their squared distances (at first `far` (M,)) exceed `least`."""
    rows = candidates.at(slice(None))
    table = apart(torch.cdist(rows, rows).square(), candidates.norms).cpu().numpy()
    left = far.cpu().numpy().copy()
    taken: list[int] = []
    while len(taken) < count:
        at = int(left.argmax())
        if taken and left[at] <= least:
            break
        taken.append(at)
        left = left.clip(max=table[at])
        left[at] = 0
    return torch.tensor(taken, device=far.device)


def pace(dims: int, rows: int, device: torch.device) -> float:
    """Seconds per centre and number of x, measured on `rows` rows or 64 MB of them."""
    x = torch.rand(max(1, min(rows, 2**24 // dims)), dims, device=device)
    points, new = Points.of(x), torch.arange(min(len(x), 64), device=device)
    started = time.monotonic()
    lower(x.new_full((len(x),), torch.inf), points, new)
    return (time.monotonic() - started) / len(new) / x.numel()
