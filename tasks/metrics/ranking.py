"""Exact metrics of scores for two kinds of samples: positives (few) and negatives (many).

Every value depends on the scores of the positives and on the number of negatives above each of
them. So the negatives are only counted, block by block. Equal scores are handled together. Scores
are ranked unchanged: no sigmoid, no clamp, no rounding.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.counting import Floats, LevelCounts

Bools = NDArray[np.bool_]


class Counts(NamedTuple):
    """Negatives above, and above or equal to, each level. Levels are distinct scores, highest
    first."""

    above: NDArray[np.int64]
    reached: NDArray[np.int64]
    negatives: int


@dataclass(frozen=True)
class Ranking:
    """Counts at the threshold of each row, highest first: (T,), or (B, T) for B resamples.

    positives: number with the row's score; weights: sum of their weights; above, reached: negatives
    with a higher, and with a higher or equal score; negatives: total, () or (B,); merged (T,): rows
    for several scores, with `above` for the highest and `reached` for the lowest.
    """

    positives: NDArray[Any]
    weights: NDArray[Any]
    above: NDArray[Any]
    reached: NDArray[Any]
    negatives: Any
    merged: Bools | bool = False

    @property
    def defined(self) -> bool:
        """Whether there are positives and negatives."""
        return self.positives.size > 0 and bool(np.all(self.negatives))


def distinct_scores(scores: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """The distinct scores, highest first, and the index of each score among them."""
    order = np.argsort(scores)
    ranked = scores[order]
    first = np.append(True, ranked[1:] != ranked[:-1])[: ranked.size]
    distinct = ranked[first][::-1]
    which = np.empty(scores.size, np.int32)
    which[order] = distinct.size - np.cumsum(first)
    return distinct, which


class Negatives:
    """Counts at distinct scores, highest first, of negatives that are added block by block."""

    def __init__(self, distinct: Floats) -> None:
        self.at = LevelCounts(distinct[::-1])
        self.above, self.reached = np.zeros(distinct.size, int), np.zeros(distinct.size, int)
        self.total = 0

    def add(self, block: Floats) -> None:
        """Count scores (n,) in any order."""
        if not block.size:
            return
        lower, equal = self.at.below_and_equal(block)
        self.reached += block.size - lower
        self.above += block.size - lower - equal
        self.total += block.size

    def counts(self) -> Counts:
        return Counts(self.above[::-1], self.reached[::-1], self.total)


def count_negatives(distinct: Floats, negatives: Floats) -> Counts:
    """Counts at distinct scores, highest first, of negatives (n,) in any order."""
    found = Negatives(distinct)
    found.add(negatives)
    return found.counts()


def rank_positives(which: NDArray[np.int32], weights: Floats, counts: Counts) -> Ranking:
    """Ranking of the positives at these levels, each with a weight."""
    positives = np.bincount(which, minlength=counts.above.size)
    rows = positives > 0
    sums = np.bincount(which, weights, minlength=rows.size)
    return Ranking(
        positives[rows], sums[rows], counts.above[rows], counts.reached[rows], counts.negatives
    )


def ranking_metrics(
    ranking: Ranking, limits: Sequence[float], found: float = 0.5
) -> dict[str, Floats]:
    """Every metric by name, () or (B,); `found` is for the average precision."""
    areas = (aupro(ranking, limit) for limit in limits)
    found_all = (auroc(ranking), *areas, average_precision(ranking, found), f1_max(ranking))
    return dict(zip(metric_names(limits), found_all, strict=True))


def metrics_or_none(ranking: Ranking, limits: Sequence[float]) -> dict[str, float | None]:
    """The metrics of one ranking (T,); None if a kind is missing."""
    if not ranking.defined:
        return dict.fromkeys(metric_names(limits))
    return {name: float(value) for name, value in ranking_metrics(ranking, limits).items()}


def metric_names(limits: Sequence[float]) -> tuple[str, ...]:
    """Names of the metrics, in order."""
    return ("auroc", *map(aupro_name, limits), "ap", "f1_max")


def metric_bounds(
    ranking: Ranking, limits: Sequence[float]
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Lower and upper bounds for the metrics of the scores before merging."""
    worst = np.where(ranking.merged, ranking.reached, ranking.above)
    best = np.where(ranking.merged, ranking.above, ranking.reached)
    low = ranking_metrics(replace(ranking, above=worst), limits, found=0)
    return low, ranking_metrics(replace(ranking, reached=best), limits, found=1)


def aupro_name(limit: float) -> str:
    """aupro_30 for 0.3, aupro_05 for 0.05, aupro_0.1 for 0.001."""
    return f"aupro_{100 * limit:02g}"


def auroc(ranking: Ranking) -> Floats:
    """Probability that a positive scores above a negative; ties count half (Mann-Whitney,
    mid-ranks)."""
    lost = (ranking.above + ranking.reached) / (2 * np.expand_dims(ranking.negatives, -1))
    return 1 - (ranking.positives * lost).sum(-1) / ranking.positives.sum(-1)


def average_precision(ranking: Ranking, found: float = 0.5) -> Floats:
    """Sum of precision times recall step; recall changes only at scores of positives.

    found: share of a merged row's positives that count as found at its precision.
    """
    total = np.cumsum(ranking.positives, -1)
    reached = np.where(ranking.merged, (ranking.above + ranking.reached) / 2, ranking.reached)
    hits = total - np.where(ranking.merged, 1 - found, 0) * ranking.positives
    precision = hits / np.maximum(hits + reached, np.finfo(float).tiny)  # a resample's empty rows
    return (ranking.positives * precision).sum(-1) / total[..., -1]


def f1_max(ranking: Ranking) -> Floats:
    """Largest F1 = 2 TP / (TP + FP + P) over all thresholds."""
    # A threshold t between scores of positives finds the same positives as the lowest positive
    # score above t and has at least as many false alarms: its F1 is not larger. Above all
    # positives F1 is 0. So the thresholds of the ranking are enough.
    found = np.cumsum(ranking.positives, -1)
    f1: Floats = 2 * found / (found + ranking.reached + found[..., -1:])
    return f1.max(-1)


def aupro(ranking: Ranking, limit: float) -> Floats:
    """Area under the PRO curve up to a false positive rate, divided by it; weights add up to 1."""
    negatives = np.expand_dims(ranking.negatives, -1)
    area = pro_area(ranking.above / negatives, ranking.reached / negatives, limit)
    total: Floats = (ranking.weights * area).sum(-1)
    return total


def pro_area(x0: Floats, x1: Floats, limit: float) -> Floats:
    """Area up to the limit, divided by the limit, of a step of PRO 1 between two rates."""
    # A tie group raises PRO by its weight while the rate moves from x0 to x1. Per unit of height
    # the area between that segment and the limit L is L - (x0 + x1) / 2, and where L cuts the
    # segment the triangle (L - x0)^2 / (2 (x1 - x0)).
    triangle = np.maximum(limit - x0, 0) ** 2 / np.maximum(2 * (x1 - x0), np.finfo(float).tiny)
    area: Floats = np.where(x1 <= limit, limit - (x0 + x1) / 2, triangle) / limit
    return area
