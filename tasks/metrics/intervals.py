"""Confidence intervals: bootstrap over images, and exact binomial intervals for rates.

A bootstrap resample draws the same number of good and of defective images, with replacement. The
interval is the *percentile* interval: quantiles of the figure over the resamples. It stays in the
figure's range and needs no normal distribution. But if no good image scores above a defective one,
every resample is perfect and the interval is (1, 1). Then `binomial_interval` of misses and
overkills still shows the small number of images.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.arrays import image_scores
from tasks.metrics.bounds import lower_limit, upper_limit
from tasks.metrics.ranking import Bools, Floats, Ranking, ranking_metrics

Interval = tuple[float, float]
CHUNK = 100  # resamples in memory at a time; changes the result of a seed


def draw_resamples(strata: Iterable[NDArray[Any]], count: int, seed: int) -> Iterator[Floats]:
    """How often each image is drawn (b, N) in `count` resamples; strata: indices of images."""
    parts = [part for part in strata if len(part)]
    images = sum(len(part) for part in parts)
    random = np.random.default_rng(seed)
    for start in range(0, count, CHUNK):
        size = min(CHUNK, count - start)
        drawn = np.empty((size, images))
        for part in parts:
            n = len(part)
            picks = random.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
            drawn[:, part] = np.bincount(picks.ravel(), minlength=size * n).reshape(size, n)
        yield drawn


def percentiles(values: Floats, level: float) -> Interval:
    """The two quantiles of values (B,) that hold the level's share between them, with equal
    tails."""
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def image_intervals(
    scores: Any, labels: Any, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval | None]:
    """Intervals of the `image_metrics`; None if there are fewer than two good or two defective
    images."""
    drawn = image_resamples(scores, labels, resamples, seed)
    names = ("image_auroc", "image_ap", "image_f1_max")
    if drawn is None:
        return dict.fromkeys(names)
    return {name: percentiles(drawn[name.removeprefix("image_")], level) for name in names}


def image_resamples(scores: Any, labels: Any, count: int, seed: int) -> dict[str, Floats] | None:
    """Figures (count,) of each resample; None with fewer than two good or two defective images."""
    values, truth = image_scores(scores, labels)
    kinds = np.flatnonzero(~truth), np.flatnonzero(truth)
    if min(map(len, kinds)) < 2:
        return None
    chunks = [
        ranking_metrics(resampled_rankings(values, truth, drawn), ())
        for drawn in draw_resamples(kinds, count, seed)
    ]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def resampled_rankings(scores: Floats, truth: Bools, drawn: Floats) -> Ranking:
    """Rankings of resamples; drawn (B, N): how often each image is drawn."""
    order = np.argsort(-scores, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(scores[order]) != 0))
    at = [np.add.reduceat(drawn[:, order] * kind[order], first, 1) for kind in (truth, ~truth)]
    reached = np.cumsum(at[1], 1)
    return Ranking(at[0], at[0], reached - at[1], reached, reached[:, -1])


def binomial_interval(k: int, n: int, level: float = 0.95) -> Interval | None:
    """Clopper-Pearson interval (1934) for the rate of k in n; None if n is 0.

    Exact: for every true rate, the interval misses it with probability 1 - level at most. 0 of 60
    good parts still allows 6 % overkill.
    """
    if not 0 <= k <= n:
        raise ValueError(f"{k} of {n}: give a count between 0 and the number of trials")
    if n == 0:
        return None
    side = 1 - (1 - level) / 2  # confidence of each end
    return lower_limit(k, n, side), upper_limit(k, n, side)
