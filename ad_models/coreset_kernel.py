"""One step of greedy k-center, compiled. Import it where it is called: numba takes a second.

Nothing is cached on disk: that would save a quarter of a second a process and need a folder that
may be written, and whose pickles may be trusted.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from numpy.typing import NDArray

Array = NDArray[Any]
Sweep = Callable[[Array, int, Array, int, int], tuple[int, float]]


def _sweep(x: Array, at: int, nearest: Array, first: int, last: int) -> tuple[int, float]:
    farthest, most = first, -1.0
    for row in range(first, last):
        squared = 0.0
        for dim in range(x.shape[1]):
            # float64 costs little: what takes the time is to read x.
            difference = numba.float64(x[row, dim]) - numba.float64(x[at, dim])
            squared += difference * difference
        left = nearest[row]
        if squared < left:
            left = nearest[row] = squared
        if left > most:  # not >=: the lowest index wins a tie
            farthest, most = row, left
    return farthest, most


@cache
def compiled(dtype: str) -> Sweep:
    """`sweep(x, at, nearest, first, last)` for x (N, D) of `dtype`, "float32" or "float64".

    It lowers `nearest` (N,), float64 squared distances, to those from row `at`, for the rows
    from `first` to before `last`, and returns the index and value of the largest among them.

    Threads are the caller's: a call releases Python's lock and starts none. numba's own parallel
    loops either end the process when two threads call at once, or fail after a fork.
    """
    signature = f"Tuple((int64, float64))({dtype}[:, ::1], int64, float64[::1], int64, int64)"
    # The sum of a row in lanes, which vectorises; nothing here assumes that numbers are finite.
    return numba.njit(signature, nogil=True, fastmath={"reassoc", "contract"})(_sweep)
