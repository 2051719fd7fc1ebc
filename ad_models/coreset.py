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


def cover(x: Tensor, count: int, seed: int = 0, tick: Tick = lambda done, total: None) -> Cover:
    """`count` rows of x (N, D), each the farthest from all before it, and how well they cover x.

    The covering radius is at most twice the optimum. Distances are expanded in the type of x: rows
    that are equally far but for rounding may change places, and points closer than a thousandth of
    the longest vector count as equal. Returns fewer indices if x has fewer distinct points. It
    needs memory for a few vectors of length N. `tick(done, total)` is called after each round.

    Raises InputError if a number of x is not finite.
    """
    x, norms = x.detach(), squares(x.detach())
    if broken := int((~norms.isfinite()).sum()):
        raise InputError(
            f"{broken} of {len(x)} feature vectors hold a number that is not finite; look at the "
            "backbone's weights, and fit in float32 (training.precision)"
        )
    count = min(count, len(x))
    tick(0, count)
    nearest = torch.full_like(norms, torch.inf)  # squared distance to the set so far
    start = torch.randint(len(x), (1,), generator=torch.Generator().manual_seed(seed))
    chosen = [start.to(x.device)]
    lower(nearest, x, norms, chosen[0])
    for new in farther(nearest, x, norms, count - 1):
        chosen.append(new)
        tick(sum(map(len, chosen)), count)
    lower(nearest, x, norms, chosen[-1])
    tick(count, count)
    return Cover(torch.cat(chosen).cpu(), float(nearest.max().clamp(min=0)) ** 0.5)


def farther(
    nearest: Tensor, x: Tensor, norms: Tensor, count: int, least: float = 0.0
) -> Iterator[Tensor]:
    """Indices of up to `count` more rows of x (N, D) in several parts, each row the farthest at its
    step. nearest (N,): squared distances to the set so far; updated for all parts but the
    last. least: none is taken at this squared distance or below."""
    if not len(x):
        return
    # at least the rounding of the expanded square, which is no distance
    floor = max(least, 1e-6 * float(norms.max()))
    while count > 0 and float(nearest.max()) > floor:
        far, candidates = nearest.topk(min(CANDIDATES, len(x)))
        last = float(far[-1]) if len(far) < len(x) else 0.0
        picked = pick(x[candidates], far, count, max(floor, last))
        new = candidates[picked]
        yield new
        count -= len(new)
        if count:
            lower(nearest, x, norms, new)


def squares(x: Tensor) -> Tensor:
    """Squared lengths (N,) of rows (N, D), in parts: the squares of all would hold x twice."""
    parts = x.split(max(1, TABLE // x.shape[1]))
    return torch.cat([part.square().sum(1) for part in parts])


def lower(nearest: Tensor, x: Tensor, norms: Tensor, new: Tensor) -> None:
    """Update the squared distances (N,) with the centres `new`."""
    centres, across = x[new], norms[new]
    size = max(1, TABLE // len(new))
    for first in range(0, len(x), size):
        part = slice(first, first + size)
        table = torch.addmm(across, x[part], centres.T, alpha=-2)  # less the norm of the row
        nearest[part] = torch.minimum(nearest[part], table.amin(1) + norms[part])
    nearest[new] = 0  # exactly, so that they are never taken again


def pick(candidates: Tensor, far: Tensor, count: int, least: float) -> Tensor:
    """Up to `count` indices of candidates (M, D), each the farthest at its step. The first is
    always chosen, the others while their squared distances (at first `far` (M,)) exceed `least`."""
    apart = torch.cdist(candidates, candidates).square().cpu().numpy()
    left = far.cpu().numpy().copy()
    taken: list[int] = []
    while len(taken) < count:
        at = int(left.argmax())
        if taken and left[at] <= least:
            break
        taken.append(at)
        left = left.clip(max=apart[at])
        left[at] = 0
    return torch.tensor(taken, device=candidates.device)


def pace(dims: int, rows: int, device: torch.device) -> float:
    """Seconds per centre and number of x, measured on `rows` rows or 64 MB of them."""
    x = torch.rand(max(1, min(rows, 2**24 // dims)), dims, device=device)
    new = torch.arange(min(len(x), 64), device=device)
    started = time.monotonic()
    lower(x.new_full((len(x),), torch.inf), x, squares(x), new)
    return (time.monotonic() - started) / len(new) / x.numel()
