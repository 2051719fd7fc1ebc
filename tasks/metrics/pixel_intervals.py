"""Bootstrap of pixel figures over images, from counts per image at a few thresholds.

The scores of defective pixels are merged into at most 1,000 bins of neighbouring scores. Each bin
holds about 1/500 of these pixels or of the PRO. For each image and bin we keep only two counts:
background pixels above the highest score of the bin, and at or above its lowest score. That is 8 kB
per image of any size. A resample adds these counts, each as often as its image was drawn. Inside a
bin the curve is straight. With at most 1,000 distinct scores this is exact. Otherwise the best and
the worst order inside every bin give bounds for each resample, and the same percentiles of these
bounds show the largest error of an interval.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.counting import LevelCounts
from tasks.metrics.intervals import draw_resamples, percentiles
from tasks.metrics.ranking import Bools, Floats, Ranking, metric_bounds, ranking_metrics

HALF = 500  # bins of equal PRO, and as many of equal numbers of defective pixels
SLICE = 128  # images whose counts are multiplied at a time

Array = NDArray[Any]


class PixelInterval(NamedTuple):
    """An interval, and the largest error of its ends caused by merging scores."""

    low: float
    high: float
    error: float


class ImageCounts:
    """Per image and bin: background pixels above and reached, defective pixels, and their PRO."""

    def __init__(self, scores: Floats, which: Array, image: Array, share: Floats) -> None:
        """scores: the levels, highest first; of each defective pixel (N,), which: its level,
        image: its image, share: 1 / its region's pixels."""
        pixels = np.bincount(which, minlength=scores.size)
        chosen = score_bins(pixels, np.bincount(which, share, scores.size))
        first = np.flatnonzero(np.append(True, np.diff(chosen) > 0)[: scores.size])
        last = np.append(first[1:], scores.size)[: first.size] - 1
        ends = np.unique((scores[first], scores[last]))
        self.levels = LevelCounts(ends)
        self.highest, self.lowest = (np.searchsorted(ends, scores[at]) for at in (first, last))
        self.merged: Bools = first != last
        self.above = np.zeros((0, first.size), np.uint32)
        self.reached, self.negatives = self.above, np.zeros(0)
        self.bad, row = np.unique(image, return_inverse=True)
        cell = row * first.size + chosen[which]
        shape = self.bad.size, first.size
        self.pixels = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
        self.pro = np.bincount(cell, share, shape[0] * shape[1]).reshape(shape)

    def resize(self, images: int) -> None:
        """Hold the counts of so many images."""
        for name in ("above", "reached", "negatives"):
            counts = getattr(self, name)[:images]
            more = [(0, images - len(counts))] + [(0, 0)] * (counts.ndim - 1)
            setattr(self, name, np.pad(counts, more))

    def visit(self, image: int, part: Floats) -> None:
        """Count background scores of an image."""
        if image >= self.negatives.size:
            self.resize(image + 64 + image // 8)
        below, equal = self.levels.below_and_equal(part)
        self.above[image] += (part.size - (below + equal)[self.highest]).astype(np.uint32)
        self.reached[image] += (part.size - below[self.lowest]).astype(np.uint32)
        self.negatives[image] += part.size

    def ranking(self, drawn: Floats, bad: Bools) -> Ranking:
        """Rankings of resamples (b, N) of images, with only the chosen defective images."""
        mine = drawn[:, self.bad[bad]]
        pro = mine @ self.pro[bad]
        return Ranking(
            mine @ self.pixels[bad],
            pro / pro.sum(1, keepdims=True),
            weighted_sum(drawn, self.above),
            weighted_sum(drawn, self.reached),
            drawn @ self.negatives,
            self.merged,
        )

    def intervals(
        self,
        limits: Sequence[float],
        count: int,
        seed: int,
        level: float,
        bad: Bools,
        rows: Sequence[int],
    ) -> dict[str, PixelInterval] | None:
        """The interval of each figure; None if a kind has fewer than two images.

        bad: the defective images that count; the others only give background pixels. rows: numbers
        (N,) in whose order images are drawn.
        """
        good = np.setdiff1d(np.arange(self.negatives.size), self.bad)
        # Without good images a resample could have no background: no image may be all defect.
        if bad.sum() < 2 or good.size == 1 or not self.negatives[good if good.size else ...].all():
            return None
        kinds = good, self.bad[bad], self.bad[~bad]
        strata = [kind[np.argsort(np.asarray(rows)[kind])] for kind in kinds]
        found: list[tuple[dict[str, Floats], ...]] = []
        for drawn in draw_resamples(strata, count, seed):
            ranking = self.ranking(drawn, bad)
            found.append((ranking_metrics(ranking, limits), *metric_bounds(ranking, limits)))
        return {
            name: bounded_interval(
                [np.concatenate([f[name] for f in kind]) for kind in zip(*found, strict=True)],
                level,
            )
            for name in found[0][0]
        }


def bounded_interval(values: Sequence[Floats], level: float) -> PixelInterval:
    """Interval of the first values, with its error from the lower and upper bounds."""
    (low, high), under, over = (percentiles(part, level) for part in values)
    error = max(low - under[0], over[0] - low, high - under[1], over[1] - high)
    return PixelInterval(low, high, max(error, 0.0))


def score_bins(*masses: Array) -> Array:
    """The bin of each level; one or two masses (T,) are distributed evenly over the bins."""
    levels = masses[0].size
    if levels <= 2 * HALF:
        return np.arange(levels)
    new = np.zeros(levels, bool)
    for mass in masses:
        middle = (np.cumsum(mass) - mass / 2) / mass.sum()
        new[1:] |= np.diff(np.floor(HALF * middle)) > 0
    return np.cumsum(new)


def weighted_sum(drawn: Floats, counts: Array) -> Floats:
    """drawn (b, N) @ counts (N, T), without converting all counts to float at once."""
    total = np.zeros((len(drawn), counts.shape[1]))
    for start in range(0, len(counts), SLICE):
        total += drawn[:, start : start + SLICE] @ counts[start : start + SLICE].astype(float)
    return total
