"""Compare two models on the same images."""

import math
from typing import Any, NamedTuple

import numpy as np

from tasks.metrics.arrays import as_bools, scores_by_label
from tasks.metrics.intervals import image_resamples, percentiles
from tasks.metrics.ranking import Floats
from tasks.workspace.errors import DataError


class Comparison(NamedTuple):
    """AUROC of a challenger minus AUROC of a champion; None if undefined."""

    difference: float
    low: float | None  # bootstrap interval, with the same resamples for both models
    high: float | None
    p_value: float | None  # DeLong, two-sided; None if the variance is 0

    @property
    def better(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0

    def not_worse(self, margin: float) -> bool:
        """Whether the whole interval is at or above -margin."""
        return self.low is not None and self.low >= -margin


def compare_auroc(
    challenger: Any,
    champion: Any,
    labels: Any,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Comparison | None:
    """Challenger against champion: scores (N,) of the same images with labels (N,), 1 for
    defective. None if there are no good or no defective images."""
    pairs = [scores_by_label(scores, labels) for scores in (challenger, champion)]
    if not pairs[0][0].size or not pairs[0][1].size:
        return None
    difference, variance = delong(*pairs)
    drawn = [image_resamples(scores, labels, resamples, seed) for scores in (challenger, champion)]
    low = high = None
    if drawn[0] is not None and drawn[1] is not None:
        low, high = percentiles(drawn[0]["auroc"] - drawn[1]["auroc"], level)
    return Comparison(difference, low, high, two_sided(difference, variance))


def delong(
    challenger: tuple[Floats, Floats], champion: tuple[Floats, Floats]
) -> tuple[float, float]:
    """Difference of two AUROC and its variance (DeLong et al., Biometrics 1988). Each model gives
    the scores of the defective and of the good images, in the same order."""
    (pos_a, neg_a), (pos_b, neg_b) = placements(*challenger), placements(*champion)
    positive, negative = pos_a - pos_b, neg_a - neg_b
    variance = sum(part.var(ddof=1) / part.size for part in (positive, negative) if part.size > 1)
    return float(positive.mean()), float(variance)


def placements(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    """Share of negatives below each positive, and of positives above each negative; ties count
    half."""
    return share_below(negatives, positives), 1 - share_below(positives, negatives)


def share_below(others: Floats, scores: Floats) -> Floats:
    """Share of the others (M,) below each score (N,); ties count half."""
    ranked = np.sort(others)
    left, right = (np.searchsorted(ranked, scores, side) for side in ("left", "right"))
    return (left + right) / (2 * others.size)


def two_sided(difference: float, variance: float) -> float | None:
    """p-value: probability of a difference at least this far from 0 if the true one is 0 (normal
    distribution)."""
    if variance <= 0:
        return 1.0 if difference == 0 else None
    return math.erfc(abs(difference) / math.sqrt(2 * variance))


class CostDifference(NamedTuple):
    """Expected cost of a challenger's decisions minus that of a champion's, a part."""

    difference: float
    low: float | None  # bootstrap interval; None with fewer than two images of a kind
    high: float | None

    @property
    def worse(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0

    @property
    def better(self) -> bool:
        """Whether the whole interval is below 0."""
        return self.high is not None and self.high < 0


def compare_costs(
    challenger: Any,
    champion: Any,
    labels: Any,
    weights: tuple[float, float],
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> CostDifference | None:
    """From wrong decisions (N,), 0 or 1, of both on the same images with labels (N,), 1 for
    defective. weights: of the shares of defective and of good images that are decided wrongly.
    None without defective images."""
    mine, theirs, defective = (
        as_bools(values, name)
        for values, name in zip(
            (challenger, champion, labels), ("challenger", "champion", "labels"), strict=True
        )
    )
    differences = mine.astype(np.float64) - theirs
    parts = [differences[defective], differences[~defective]]
    if not parts[0].size:
        return None
    total = sum(w * float(p.mean()) for w, p in zip(weights, parts, strict=True) if p.size)
    if any(part.size < 2 for part in parts):
        return CostDifference(total, None, None)
    rng = np.random.default_rng(seed)
    drawn = sum(
        w * part[rng.integers(part.size, size=(resamples, part.size))].mean(axis=1)
        for w, part in zip(weights, parts, strict=True)
    )
    low, high = percentiles(np.asarray(drawn), level)
    return CostDifference(total, low, high)


class Discordance(NamedTuple):
    """Wrong decisions of only one of two models on the same images."""

    challenger_only: int
    champion_only: int
    p_value: float  # McNemar, exact and two-sided


def compare_decisions(challenger: Any, champion: Any, labels: Any) -> dict[str, Discordance]:
    """`miss` for the defective and `overkill` for the good images, from rejections (N,), 0 or 1."""
    mine, theirs, defective = (
        as_bools(values, name)
        for values, name in zip(
            (challenger, champion, labels), ("challenger", "champion", "labels"), strict=True
        )
    )
    if not mine.shape == theirs.shape == defective.shape or mine.ndim != 1:
        raise DataError(
            f"decisions {mine.shape} and {theirs.shape}, labels {defective.shape}: give one of "
            "each an image"
        )
    return {
        "miss": mcnemar(
            int((~mine & theirs & defective).sum()), int((mine & ~theirs & defective).sum())
        ),
        "overkill": mcnemar(
            int((mine & ~theirs & ~defective).sum()), int((~mine & theirs & ~defective).sum())
        ),
    }


def mcnemar(challenger_only: int, champion_only: int) -> Discordance:
    """Exact McNemar test: how probable such an uneven split is if both models err equally often."""
    from scipy.stats import binomtest

    total = challenger_only + champion_only
    p_value = float(binomtest(challenger_only, total).pvalue) if total else 1.0
    return Discordance(challenger_only, champion_only, p_value)
