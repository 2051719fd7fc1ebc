"""Which number of an image is compared with the threshold.

`model`: the algorithm's own score; `max`: the highest value of its heat map; `top`: the mean of the
highest `TOP` of it. Which decides best is a property of the algorithm and the product: a pinhole
shows in the highest value, a stain in the mean of many. So with known defects it is chosen by them.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from tasks.decisions.expected_cost import expected
from tasks.decisions.threshold import choose_limits
from tasks.spec.policy_names import SCORE_RULES, ScoreRule
from tasks.spec.schema import ThresholdSpec
from tasks.workspace.errors import DataError

ByRule = Mapping[ScoreRule, list[float]]  # scores of the same images by every rule
TOP = 0.01  # share of the map's values whose mean is the score
COLUMNS: dict[ScoreRule, str] = {"model": "score", "max": "max", "top": "top"}  # of calibration.csv


def map_score(map: np.ndarray, rule: ScoreRule) -> float:
    """The score of an image from its heat map (h, w); rule: `max` or `top`."""
    if rule == "max":
        return float(map.max())
    count = max(1, int(TOP * map.size))
    return float(np.partition(map, -count, axis=None)[-count:].mean(dtype=np.float64))


def by_rule(rows: Iterable[Mapping[str, str]]) -> dict[ScoreRule, list[float]]:
    """The scores in rows of calibration.csv."""
    kept = list(rows)
    try:
        return {rule: [float(row[name]) for row in kept] for rule, name in COLUMNS.items()}
    except KeyError as error:
        raise DataError(f"calibration.csv has no column {error}: fit the model again") from error


def choose_rule(policy: ThresholdSpec, normals: ByRule, defects: ByRule) -> ScoreRule:
    """The rule of the spec; of `auto` the one with the least expected cost on the known defects,
    and the model's own where they are too few or set no threshold."""
    if policy.score != "auto":
        return policy.score
    if not policy.learns_from_defects or len(defects["model"]) < policy.min_defects:
        return "model"
    return min(SCORE_RULES, key=lambda rule: _cost(policy, normals[rule], defects[rule]))


def _cost(policy: ThresholdSpec, normals: list[float], defects: list[float]) -> float:
    """What the threshold from these scores costs on them."""
    limits = choose_limits(policy, normals, defects)
    miss, overkill = limits.accept.miss, limits.reject.overkill_bound
    if miss is None:
        return float("inf")
    known = limits.reject.overkill if overkill is None else overkill
    return expected(policy.cost, miss, known, None)
