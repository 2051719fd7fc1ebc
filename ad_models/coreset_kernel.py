"""One step of greedy k-center, compiled. Import it where it is called: numba takes a second.

Most rows are not read. If a row has the distance d from its nearest centre, a new centre at 2 d or
more from that centre is not nearer (triangle inequality). So each row stores its centre, and a step
starts with the distances of all centres to the new one.

Nothing is cached on disk: a cache would save a quarter of a second per process, but needs a
writable folder with trusted pickles.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numpy.typing import NDArray

Array = NDArray[Any]
Sweep = Callable[[Array, int, Array, Array, Array, int, int, int], tuple[int, float]]
Apart = Callable[[Array, Array, int, Array], None]

BEYOND = 4.000001  # of a squared distance; more than 4 by far more than sums are rounded


def _sweep(
    x: Array,
    at: int,
    nearest: Array,
    owner: Array,
    apart: Array,
    number: int,
    first: int,
    last: int,
) -> tuple[int, float]:
    farthest, most = first, -1.0
    for row in range(first, last):
        left = nearest[row]
        if not apart[owner[row]] >= BEYOND * left:  # also where it is not a number
            squared = 0.0
            for dim in range(x.shape[1]):
                # float64 costs little: what takes the time is to read x.
                difference = numba.float64(x[row, dim]) - numba.float64(x[at, dim])
                squared += difference * difference
            if squared < left:
                left = nearest[row] = squared
                owner[row] = number
        if left > most:  # not >=: the lowest index wins a tie
            farthest, most = row, left
    return farthest, most


def _apart(x: Array, chosen: Array, at: int, apart: Array) -> None:
    for number in range(len(chosen)):
        squared = 0.0
        for dim in range(x.shape[1]):
            difference = numba.float64(x[chosen[number], dim]) - numba.float64(x[at, dim])
            squared += difference * difference
        apart[number + 1] = squared


@cache
def compiled(dtype: str) -> tuple[Apart, Sweep]:
    """`apart_of` and `sweep` for x (N, D) of `dtype`, "float32" or "float64".

    The first fills `apart` (count + 1,) from its second place on with the squared distances of the
    rows `chosen` from row `at`. The second lowers `nearest` (N,), float64 squared distances, to
    those from row `at`, the centre of this `number`, for the rows from `first` to before `last`,
    and returns the index and value of the largest among them. Numbers begin at 1; a row without
    an `owner` (N,) has 0, and apart[0] is to be 0, so that it is read.

    Threads are the caller's: a call releases Python's lock and starts none. numba's own parallel
    loops either end the process when two threads call at once, or fail after a fork.
    """
    rows = f"{dtype}[:, ::1]"
    notes = "float64[::1], int32[::1], float64[::1]"
    apart = f"void({rows}, int64[::1], int64, float64[::1])"
    sweep = f"Tuple((int64, float64))({rows}, int64, {notes}, int64, int64, int64)"
    # The sum of a row in lanes, which vectorises; nothing here assumes that numbers are finite.
    how: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract"}}
    return numba.njit(apart, **how)(_apart), numba.njit(sweep, **how)(_sweep)
