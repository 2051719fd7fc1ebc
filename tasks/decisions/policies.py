"""Policies that choose a threshold from calibration scores.

Each takes its rule, scores of good images (n,) and of defective images (m,), what errors cost, and
a confidence.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tasks.decisions.expected_cost import PRIOR, cheapest
from tasks.decisions.tail import FEWEST, Tail
from tasks.metrics.bounds import allowed_count, expected_share, upper_limit
from tasks.spec.policy_names import PolicyName
from tasks.spec.schema import Cost, Rule
from tasks.workspace.errors import SpecError


class Pick(NamedTuple):
    """A threshold, and the errors that its choice allows on each side; with ties there may be
    fewer."""

    value: float
    overkilled: int = 0
    missed: int = 0
    note: str = ""
    overkill_bound: float | None = None  # expected share of good parts; None: by counting
    overkill_upper: float | None = None  # the same with confidence
    instead: PolicyName | None = None  # the policy that was followed, where it is another


def normal_quantile(
    rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float
) -> Pick:
    """The j-th largest normal score: a new one exceeds it with probability j / (n + 1) at most.

    j is the largest number that keeps this probability within the rule's overkill, and at least 1.
    """
    n = len(good)
    wanted = allowed_count(rule.overkill, n + 1)
    rank = max(1, wanted)
    short = f"{n} held-out images promise {rank / (n + 1):.1%} overkill, not {rule.overkill:.1%}"
    return Pick(float(np.sort(good)[-rank]), rank - 1, note="" if wanted else short)


def normal_tail(
    rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float
) -> Pick:
    """The score that a new good part exceeds with the rule's overkill, by the tail model."""
    tail = Tail.of(good)
    if tail is None:
        return _counted(rule, good, bad, cost, confidence)
    value = tail.threshold(rule.overkill)
    return _by_tail(tail, good, value, 0, confidence, f"{rule.overkill:.1%} overkill")


def min_cost(rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float) -> Pick:
    """The least expected cost with the known defects; few of them move it little."""
    tail = Tail.of(good)
    if tail is None:
        return _counted(rule, good, bad, cost, confidence)
    value = cheapest(tail, bad, rule.overkill, cost)
    missed = int((bad <= value).sum())
    aim = f"the least expected cost with {len(bad)} known defects"
    if len(bad) < PRIOR:
        aim += f", which are few and move it little from {rule.overkill:.1%} overkill"
    return _by_tail(tail, good, value, missed, confidence, aim)


def _counted(rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float) -> Pick:
    """By counting, where the good scores have no spread that a tail could be taken from."""
    pick = normal_quantile(rule, good, bad, cost, confidence)
    why = f"{len(good)} scores of good parts that are too few or all equal have no tail"
    note = "; ".join(filter(None, (f"{why}: normal_quantile is used", pick.note)))
    return pick._replace(note=note, instead="normal_quantile")


def _by_tail(
    tail: Tail, good: np.ndarray, value: float, missed: int, confidence: float, aim: str
) -> Pick:
    """A threshold from the tail model. Where the model does not fit, its promise is by counting."""
    over, n = int((good > value).sum()), len(good)
    if tail.fits:
        note = f"{aim}, if the {tail.scale} of good parts are normal: {n} images agree with that"
        # with few images either scale may be the true one
        possible = [model for model in Tail.scales(good) if model.fits]
        bound = max(float(model.above(value)) for model in possible)
        upper = max(model.upper(value, confidence) for model in possible)
        return Pick(value, over, missed, note, bound, upper)
    note = (
        f"{aim}, if the {tail.scale} of good parts were normal; {n} images say that they are not "
        f"(p = {tail.p_value:.2g}): look at those with the highest scores"
    )
    counted = expected_share(over, n), upper_limit(over, n, confidence)
    bound, upper = float(tail.above(value)), tail.upper(value, confidence)
    return Pick(value, over, missed, note, max(counted[0], bound), max(counted[1], upper))


def max_overkill(
    rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float
) -> Pick:
    """The lowest normal score that, with confidence, at most the rule's share of parts exceeds."""
    n = len(good)
    limits = np.array([upper_limit(errors, n, confidence) for errors in range(n)])  # rising
    allowed = max(0, int((limits <= rule.overkill).sum()) - 1)
    promise = f"{limits[allowed]:.1%} overkill with {confidence:.0%} confidence"
    short = f"{n} held-out images promise {promise}, not {rule.overkill:.1%}"
    note = short if limits[allowed] > rule.overkill else ""
    return Pick(float(np.sort(good)[-1 - allowed]), allowed, note=note)


def max_miss(rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float) -> Pick:
    """The largest value that misses no more than the rule's share of the defects."""
    allowed = allowed_count(rule.miss, len(bad))
    value = float(np.nextafter(np.sort(bad)[allowed], -np.inf))
    kept = f"finds {int((bad > value).sum())} of {len(bad)} calibration defects"
    over = int((good > value).sum())
    if len(good):
        price = f"{over} of {len(good)} good ones ({over / len(good):.1%}) are above it too"
    else:
        price = "no good image was held out: its overkill is unknown"
    return Pick(value, missed=allowed, note=f"{kept}, {price}")


def f1_max(rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float) -> Pick:
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


def fixed(rule: Rule, good: np.ndarray, bad: np.ndarray, cost: Cost, confidence: float) -> Pick:
    if rule.value is None:
        raise SpecError("threshold.policy is fixed: give the raw score as threshold.value")
    return Pick(rule.value, note="fixed by the spec")


def followed(rule: Rule, normals: int, defects: int) -> PolicyName:
    """The policy that `auto` follows for so many images; any other policy itself."""
    if rule.policy != "auto":
        return rule.policy
    if defects and normals >= FEWEST:
        return "min_cost"
    return of_good_images(rule.overkill, normals)


def of_good_images(overkill: float, normals: int) -> PolicyName:
    """The policy that needs no defects: a tail model where counting cannot keep the promise."""
    counted = allowed_count(overkill, normals + 1) > 0 or normals < FEWEST
    return "normal_quantile" if counted else "normal_tail"


POLICIES: dict[str, Callable[[Rule, np.ndarray, np.ndarray, Cost, float], Pick]] = {
    "normal_quantile": normal_quantile,
    "normal_tail": normal_tail,
    "max_overkill": max_overkill,
    "min_cost": min_cost,
    "max_miss": max_miss,
    "f1_max": f1_max,
    "fixed": fixed,
}
NEEDS_NORMALS = frozenset({"normal_quantile", "normal_tail", "max_overkill", "min_cost"})
