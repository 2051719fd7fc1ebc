"""Greedy k-center in rounds: many centres for one pass over the points."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

CANDIDATES = 512  # number of candidates of a round; more of them cost more than they save
TABLE = 2**21  # distances that are computed at once; more leave the caches of a CPU
Tick = Callable[[int, int], None]


def rounds(x: Tensor, count: int, start: int, tick: Tick) -> tuple[Tensor, float]:
    """Indices (count,) of rows of x (N, D) that cover it, and their covering radius.

    Gonzalez's choice, many centres for one pass over the rows: distances to the set only decrease.
    So while a candidate is farther than every row was that is no candidate when the round began, it
    is the farthest of all, and other rows need no check. Each round ends with one matrix product.
    Distances are expanded in the type of x: rows that are equally far but for rounding may change
    places, and points closer than a thousandth of the longest vector count as equal. Returns fewer
    indices if x has fewer distinct points.
    """
    norms = squares(x)
    nearest = torch.full_like(norms, torch.inf)  # squared distance to the set so far
    first = torch.tensor([start], device=x.device)
    lower(nearest, x, norms, first)
    chosen = [first]
    for new in farther(nearest, x, norms, count - 1):
        chosen.append(new)
        tick(sum(map(len, chosen)), count)
    lower(nearest, x, norms, chosen[-1])
    return torch.cat(chosen).cpu(), float(nearest.max().clamp(min=0)) ** 0.5


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
