"""Select few points that represent many: greedy k-center selection."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ad_models.coreset_rounds import lower, rounds, squares

TICK = 0.2  # seconds between two ticks
LONG = 10**10  # numbers to read one centre at a time, two seconds of one core; more: rounds
SHARE = 2**19  # numbers of x that are worth a thread: a tenth of a millisecond

# Takes the index of a new centre; gives the index farthest from all centres so far and how far
# that is, squared, or 0 where all points are centres or equal to one.
Step = Callable[[int], tuple[int, float]]


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


def greedy(
    x: Tensor,
    count: int,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Indices (count,) of a k-center set of x (N, D): see `cover`."""
    return cover(x, count, seed, tick).indices


def cover(
    x: Tensor,
    count: int,
    seed: int = 0,
    tick: Callable[[int, int], None] = lambda done, total: None,
    fast: bool = False,
) -> Cover:
    """`count` rows of x (N, D), each the farthest from all before it, and how well they cover x.

    Gonzalez (1985): the covering radius is at most twice the optimum. Returns fewer indices if x
    has fewer distinct points. It needs memory for one or two vectors of length N. `tick(done,
    total)` is called several times a second.

    On a CPU distances are summed in float64, so the indices are those of the plain algorithm,
    ties to the lowest, with any number of threads. On a GPU they are expanded in the type of
    x: points closer than a thousandth of the longest vector count as equal there.

    fast: the same choice but for rounding, with several times less work; see
    `ad_models.coreset_rounds`.
    """
    count = min(count, len(x))
    # Preallocated: a list of 0-d tensors between large temporaries fragments the heap.
    chosen = torch.empty(count, dtype=torch.long)
    at = int(torch.randint(len(x), (1,), generator=torch.Generator().manual_seed(seed)))
    far = 0.0
    tick(0, count)
    if fast:
        return Cover(*rounds(x.detach(), count, at, tick))
    with _steps(x, count) as step:
        ticked = time.monotonic()
        for done in range(count):
            chosen[done] = at
            at, far = step(at)
            if far == 0:
                chosen = chosen[: done + 1]
                break
            if time.monotonic() - ticked >= TICK:
                tick(done, count)
                ticked = time.monotonic()
    tick(count, count)
    return Cover(chosen, far**0.5)


def is_long(rows: int, count: int, dims: int) -> bool:
    """Whether selection in rounds is better for `count` of `rows` rows of `dims` numbers."""
    return rows * count * dims > LONG


def coreset(
    x: Tensor,
    count: int,
    projected: int,
    seed: int,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """Indices (count,) of rows of x (N, D) that cover it, chosen in `projected` dims; in rounds
    where the work is long. On the device of x."""
    narrow = project(x, projected, seed)
    fast = is_long(len(x), count, narrow.shape[1])
    return cover(narrow, count, seed, tick, fast).indices.to(x.device)


def pace(dims: int, rows: int, device: torch.device, fast: bool = False) -> float:
    """Seconds per centre and number of x, measured on `rows` rows or 64 MB of them."""
    x = torch.rand(max(1, min(rows, 2**24 // dims)), dims, device=device)
    if fast:
        new = torch.arange(min(len(x), 64), device=device)
        started = time.monotonic()
        lower(x.new_full((len(x),), torch.inf), x, squares(x), new)
        return (time.monotonic() - started) / len(new) / x.numel()
    with _steps(x, 4) as step:
        step(0)
        started = time.monotonic()
        for at in range(min(3, len(x))):
            step(at)
        return (time.monotonic() - started) / min(3, len(x)) / x.numel()


def _steps(x: Tensor, count: int) -> AbstractContextManager[Step]:
    compilable = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    return _fused(x, count) if compilable else _expanded(x)


@contextmanager
def _fused(x: Tensor, count: int) -> Iterator[Step]:
    """Up to `count` steps that read the needed parts of x once, with the present number of torch
    threads."""
    from ad_models.coreset_kernel import compiled

    rows = x.detach().contiguous().numpy()
    apart_of, sweep = compiled(rows.dtype.name)
    nearest = np.full(len(rows), np.inf)  # squared distance to the set so far
    owner = np.zeros(len(rows), np.int32)  # number of the centre at that distance, from 1
    apart = np.zeros(count + 1)  # squared distance of each centre to the new one
    chosen = np.empty(count, np.int64)
    numbers = iter(range(count))
    threads = max(1, min(torch.get_num_threads(), rows.size // SHARE))
    cuts = [len(rows) * thread // threads for thread in range(threads + 1)]
    first, *others = pairwise(cuts)

    def step(at: int) -> tuple[int, float]:
        nearest[at] = 0  # also where x is not finite, so that it is never taken again
        number = next(numbers)
        chosen[number] = at
        apart_of(rows, chosen[:number], at, apart)
        notes = nearest, owner, apart, number + 1
        waiting = [pool.submit(sweep, rows, at, *notes, *block) for block in others]
        found = [sweep(rows, at, *notes, *first), *(future.result() for future in waiting)]
        return max(found, key=lambda block: block[1])  # the first of equals

    with ThreadPoolExecutor(max(1, threads - 1)) as pool:  # starts threads when it needs them
        yield step


@contextmanager
def _expanded(x: Tensor) -> Iterator[Step]:
    """Steps by |x|^2 - 2xy + |y|^2, a few kernels of the device each."""
    norms = squares(x)
    nearest = torch.full_like(norms, torch.inf)  # squared distance to the set so far
    distances = torch.empty_like(norms)
    floor = 1e-6 * float(norms.max())  # rounding of the expanded square, not a distance

    def step(at: int) -> tuple[int, float]:
        torch.addmv(norms, x, x[at], beta=1.0, alpha=-2.0, out=distances)
        distances.add_(norms[at])
        torch.minimum(nearest, distances, out=nearest)
        nearest[at] = 0  # exactly, so that it is never taken again
        farthest = int(nearest.argmax())
        far = float(nearest[farthest])
        return farthest, 0.0 if far <= floor else far

    yield step
