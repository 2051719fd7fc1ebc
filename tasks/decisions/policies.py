"""Policies that choose a threshold from calibration scores.

Each takes its rule, scores of good images (n,) and of defective images (m,), and a confidence.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tasks.metrics.bounds import allowed_count, upper_limit
from tasks.spec.schema import Rule
from tasks.workspace.errors import SpecError


class Pick(NamedTuple):
    """A threshold, and the errors that its choice allows on each side; with ties there may be
    fewer."""

    value: float
    overkilled: int = 0
    missed: int = 0
    note: str = ""


def normal_quantile(rule: Rule, good: np.ndarray, bad: np.ndarray, confidence: float) -> Pick:
    """The j-th largest normal score: a new one exceeds it with probability j / (n + 1) at most.

    j is the largest number that keeps this probability within the rule's overkill, and at least 1.
    """
    n = len(good)
    wanted = allowed_count(rule.overkill, n + 1)
    rank = max(1, wanted)
    short = f"{n} held-out images promise {rank / (n + 1):.1%} overkill, not {rule.overkill:.1%}"
    return Pick(float(np.sort(good)[-rank]), rank - 1, note="" if wanted else short)


def max_overkill(rule: Rule, good: np.ndarray, bad: np.ndarray, confidence: float) -> Pick:
    """The lowest normal score that, with confidence, at most the rule's share of parts exceeds."""
    n = len(good)
    limits = np.array([upper_limit(errors, n, confidence) for errors in range(n)])  # rising
    allowed = max(0, int((limits <= rule.overkill).sum()) - 1)
    promise = f"{limits[allowed]:.1%} overkill with {confidence:.0%} confidence"
    short = f"{n} held-out images promise {promise}, not {rule.overkill:.1%}"
    note = short if limits[allowed] > rule.overkill else ""
    return Pick(float(np.sort(good)[-1 - allowed]), allowed, note=note)


def max_miss(rule: Rule, good: np.ndarray, bad: np.ndarray, confidence: float) -> Pick:
    """The largest value that misses no more than the rule's share of the defects."""
    allowed = allowed_count(rule.miss, len(bad))
    value = float(np.nextafter(np.sort(bad)[allowed], -np.inf))
    kept = f"finds {int((bad > value).sum())} of {len(bad)} calibration defects"
    cost = int((good > value).sum())
    if len(good):
        price = f"{cost} of {len(good)} good ones ({cost / len(good):.1%}) are above it too"
    else:
        price = "no good image was held out: its overkill is unknown"
    return Pick(value, missed=allowed, note=f"{kept}, {price}")


def f1_max(rule: Rule, good: np.ndarray, bad: np.ndarray, confidence: float) -> Pick:
    """The middle of the gap with the highest F1; of equal gaps the lowest, which misses least."""
    levels = np.unique(np.concatenate((good, bad)))  # each one as the lowest rejected score
    hits = len(bad) - np.searchsorted(np.sort(bad), levels)
    alarms = len(good) - np.searchsorted(np.sort(good), levels)
    best = int(np.argmax(2 * hits / (len(bad) + hits + alarms)))
    value = float(np.nextafter(levels[best], -np.inf))
    if best:  # halves: the sum may overflow; clip: the middle may be rounded up
        middle = levels[best - 1] / 2 + levels[best] / 2
        value = float(np.clip(middle, levels[best - 1], value))
    return Pick(value, note="chosen for the calibration images' own share of defects")


def fixed(rule: Rule, good: np.ndarray, bad: np.ndarray, confidence: float) -> Pick:
    if rule.value is None:
        raise SpecError("threshold.policy is fixed: give the raw score as threshold.value")
    return Pick(rule.value, note="fixed by the spec")


POLICIES: dict[str, Callable[[Rule, np.ndarray, np.ndarray, float], Pick]] = {
    "normal_quantile": normal_quantile,
    "max_overkill": max_overkill,
    "max_miss": max_miss,
    "f1_max": f1_max,
    "fixed": fixed,
}
NEEDS_NORMALS = frozenset({"normal_quantile", "max_overkill"})
