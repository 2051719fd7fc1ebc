"""Bounds on the error rate of new images, from the errors among calibration images.

With n exchangeable images, k of them wrong, a new image is wrong with probability (k + 1) / (n + 1)
at most, on average over calibrations (conformal). With confidence, the true share is at most the
Clopper-Pearson limit. This also holds if the threshold is the (k + 1)-th of the n scores. Neither
bound assumes a distribution of scores.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from tasks.workspace.errors import DataError


def expected_share(errors: int, n: int) -> float:
    """The expected share of wrong decisions, at most, in 0..1."""
    return min(1.0, (errors + 1) / (n + 1))


def upper_limit(errors: int, n: int, confidence: float) -> float:
    """The one-sided upper Clopper-Pearson limit of the share, in 0..1."""
    from scipy.special import betaincinv  # the quantile of a beta distribution

    return 1.0 if errors >= n else float(betaincinv(errors + 1, n - errors, confidence))


def lower_limit(errors: int, n: int, confidence: float) -> float:
    """The one-sided lower Clopper-Pearson limit of the share, in 0..1."""
    from scipy.special import betaincinv

    return float(betaincinv(errors, n - errors + 1, 1 - confidence)) if errors else 0.0


def upper_limit_any_threshold(errors: int, n: int, confidence: float) -> float:
    """An upper limit that holds for any threshold chosen with the same n scores.

    Dvoretzky-Kiefer-Wolfowitz with Massart's constant (doi:10.1214/aop/1176990746). The confidence
    must be at least one half.
    """
    slack = np.sqrt(-np.log(min(1 - confidence, 0.5)) / (2 * n))
    return min(1.0, errors / n + float(slack))


def allowed_count(share: float, n: int) -> int:
    """How many of n a share allows, exact in decimals: 0.29 of 100 is 29, not 28."""
    return int(Fraction(repr(float(share))) * n)


def finite_scores(scores: Sequence[float] | np.ndarray, kind: str) -> np.ndarray:
    """Scores (n,) as float64; DataError if one is not finite."""
    values = np.asarray(scores, np.float64).reshape(-1)
    odd = np.flatnonzero(~np.isfinite(values))
    if len(odd):
        raise DataError(
            f"score {odd[0]} of the {kind} calibration images is {values[odd[0]]}; "
            "the model's fit diverged, fit it again"
        )
    return values
