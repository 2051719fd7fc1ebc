"""Count scores below levels exactly, without sorting them all.

The range of the levels is cut into equal buckets. A bucket without a level needs only the number of
its scores; scores that share a bucket with a level are sorted and compared. Equal scores have one
bucket, and a higher score never has a lower one, whatever the rounding, so counts are exact.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]
FEWEST, MOST = 1 << 16, 1 << 20  # buckets
FOR_EACH = 32  # buckets for each level, so that few scores share one with a level


class LevelCounts:
    """Counts at `levels` (T,), which rise and are distinct and finite."""

    def __init__(self, levels: Floats) -> None:
        self.levels = levels
        self.buckets = min(max(FEWEST, FOR_EACH * levels.size), MOST)
        low, high = (levels[0], levels[-1]) if levels.size else (0.0, 0.0)
        with np.errstate(over="ignore", divide="ignore"):
            scale = levels.dtype.type(self.buckets) / (high - low)
        self.low, self.scale = low, scale if np.isfinite(scale) else levels.dtype.type(0)
        self.places = self._buckets(levels)
        self.shared = np.zeros(self.buckets + 3, bool)
        self.shared[self.places] = True

    def below_and_equal(self, scores: Floats) -> tuple[Integers, Integers]:
        """How many of the scores (n,), in any order, are below each level, and how many equal."""
        scores = scores.astype(self.levels.dtype, copy=False)
        buckets = self._buckets(scores)
        counts = np.bincount(buckets, minlength=self.shared.size)
        counts[self.shared] = 0
        near = np.sort(scores[self.shared[buckets]])
        below, equal = count_below_and_equal(near, self.levels)
        return below + np.cumsum(counts)[self.places], equal

    def _buckets(self, scores: Floats) -> Integers:
        """The bucket of each score; the first and the last are for scores beyond all levels."""
        if not self.scale:  # the range has no width, or none that is a number
            return np.ones(scores.shape, np.int64)
        with np.errstate(over="ignore"):
            at = (scores - self.low) * self.scale
            at += 1
            return np.clip(at, 0, self.buckets + 2, out=at).astype(np.int64)


def count_below_and_equal(block: Floats, levels: Floats) -> tuple[Integers, Integers]:
    """How many of a sorted block are below each level, and how many equal to it."""
    below = np.searchsorted(block, levels, side="left")
    equal = np.zeros_like(below)
    if block.size:
        # The second search is only for ties: most float scores have none.
        tied = np.flatnonzero(block[np.minimum(below, block.size - 1)] == levels)
        equal[tied] = np.searchsorted(block, levels[tied], side="right") - below[tied]
    return below, equal
