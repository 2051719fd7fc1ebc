"""A tail model of good scores: what share of new good parts lies above a score.

Few images say nothing about a rare event by counting: 30 good scores promise 3.2 % at best. With a
distribution they say more. Scores, or their logarithms, are taken as normal, whichever fits better;
then a new score lies within a prediction interval of Student's t, and a share of all parts within a
tolerance interval (Hahn and Meeker, Statistical Intervals, 1991, chapter 4). The fit is checked by
Shapiro and Wilk's test. The assumption is never silent: `fits` tells what the test says.
"""

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Self

import numpy as np

FEWEST = 5  # images from which a spread is taken
FENCE = 1.5  # of the quartiles' distance: what lies farther out is odd (Tukey)
STEPS = 2000  # quantiles of an integral
KEPT = 64  # sets of scores whose models are remembered: a cross-fit asks for each dozens of times
REFUSED = 0.01  # p-value of the test of normality below which a scale does not fit


@dataclass(frozen=True)
class Tail:
    """Normal scores on a scale, from n images."""

    logarithms: bool
    n: int
    mean: float
    spread: float  # standard deviation
    p_value: float  # of the test of normality

    @classmethod
    def of(cls, scores: np.ndarray) -> Self | None:
        """The model of scores (n,) that fits best; None where they are too few or all equal."""
        return next(iter(cls.scales(scores)), None)

    @classmethod
    def scales(cls, scores: np.ndarray) -> tuple[Self, ...]:
        """The models of scores (n,) on both scales, the best first."""
        return cls._scales(np.asarray(scores, np.float64).tobytes())

    @classmethod
    @lru_cache(maxsize=KEPT)
    def _scales(cls, content: bytes) -> tuple[Self, ...]:
        """The same for the bytes of float64 scores."""
        scores = np.frombuffer(content)
        if len(scores) < FEWEST:
            return ()
        found = [cls._on(scores, logarithms=False)]
        if scores.min() > 0:
            found.append(cls._on(scores, logarithms=True))
        usable = [pair for pair in found if pair is not None]
        return tuple(model for _, model in sorted(usable, key=lambda pair: -pair[0]))

    @classmethod
    def _on(cls, scores: np.ndarray, logarithms: bool) -> tuple[float, Self] | None:
        """How well one scale fits, and the model on it."""
        from scipy.stats import shapiro

        values = _within_fence(np.log(scores) if logarithms else scores)
        spread = float(values.std(ddof=1))
        if not math.isfinite(spread) or spread <= 1e-12 * max(1.0, abs(float(values.mean()))):
            return None
        fit = shapiro(values)
        model = cls(logarithms, len(scores), float(values.mean()), spread, float(fit.pvalue))
        return float(fit.statistic), model

    @property
    def fits(self) -> bool:
        return self.p_value >= REFUSED

    @property
    def scale(self) -> str:
        """The scale in words."""
        return "logarithms of scores" if self.logarithms else "scores"

    def score(self, z: float | np.ndarray) -> np.ndarray:
        """The raw score that lies z prediction deviations above the mean."""
        values = self.mean + np.asarray(z, np.float64) * self._deviation
        return np.exp(values) if self.logarithms else values

    def z(self, score: float | np.ndarray) -> np.ndarray:
        """The reverse of `score`; -inf for what has no logarithm."""
        values = np.asarray(score, np.float64)
        if self.logarithms:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.where(values > 0, np.log(values), -np.inf)
        return (values - self.mean) / self._deviation

    @property
    def _deviation(self) -> float:
        """Of a new value from the mean of the n known ones."""
        return self.spread * math.sqrt(1 + 1 / self.n)

    def threshold(self, share: float) -> float:
        """The score that a new good part exceeds with probability `share`."""
        from scipy.stats import t

        return float(self.score(t.isf(share, self.n - 1)))

    def above(self, score: float | np.ndarray) -> np.ndarray:
        """Probability that a new good part lies above a score."""
        from scipy.stats import t

        return t.sf(self.z(score), self.n - 1)

    def upper(self, score: float, confidence: float) -> float:
        """Share of all good parts above a score, at most, with confidence: the share whose
        one-sided tolerance limit is the score."""
        from scipy.optimize import brentq
        from scipy.special import ndtr  # norm.cdf without its checks, which take longer

        # The factor has a noncentral t distribution; scipy's is not a number far from its middle.
        # The mean over quantiles of the spread is exact to 1e-4.
        factor = float(self.z(score)) * math.sqrt(1 + 1 / self.n)
        if not math.isfinite(factor):
            return 1.0 if factor < 0 else 0.0
        spreads = _spreads(self.n - 1)

        def lack(quantile: float) -> float:
            below = ndtr(math.sqrt(self.n) * (factor * spreads - quantile))
            return float(below.mean()) - confidence

        low, high = -8.0, 8.0  # normal quantiles: nearly all parts, nearly none
        if lack(low) <= 0:
            return 1.0
        return float(ndtr(-brentq(lack, low, high, xtol=1e-6))) if lack(high) < 0 else 0.0


@cache
def _spreads(degrees: int) -> np.ndarray:
    """Quantiles (STEPS,) of a spread from so many degrees of freedom, in true spreads."""
    from scipy.stats import chi2

    return np.sqrt(chi2.ppf((np.arange(STEPS) + 0.5) / STEPS, degrees) / degrees)


def _within_fence(values: np.ndarray) -> np.ndarray:
    """Values (n,) with low outliers set to the fence below the quartiles.

    Two nearly equal images score close to 0 when each is judged by the other. They tell nothing
    about the upper tail, and would widen it.
    """
    low, high = np.percentile(values, [25, 75])
    return np.maximum(values, low - FENCE * (high - low))


def odd_ones(scores: np.ndarray) -> np.ndarray:
    """Whether each score (n,) lies above the upper fence: an image that a person should look at."""
    if len(scores) < FEWEST:
        return np.zeros(len(scores), bool)
    low, high = np.percentile(scores, [25, 75])
    return scores > high + FENCE * (high - low)
