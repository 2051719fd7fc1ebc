"""What other thresholds would decide on the same images: for a person who chooses one."""

import json
from typing import NamedTuple

import numpy as np

from tasks.decisions.expected_cost import expected
from tasks.decisions.policies import of_good_images
from tasks.decisions.threshold import choose_threshold, lacking
from tasks.spec.schema import Rule, ThresholdSpec
from tasks.workspace.files import read_rows
from tasks.workspace.paths import Workspace

SHARES = (0.005, 0.01, 0.02, 0.05)  # of good parts rejected
MISSES = (0.0, 0.05)  # of known defects accepted


class Alternative(NamedTuple):
    """A threshold and its figures. Shares are None where there are no images for them."""

    rule: str
    value: float
    overkill_bound: float | None  # expected, of new good parts
    overkill: float | None  # of the good test images
    miss: float | None  # of the defective test images, which may have set it
    cost: float | None  # expected, of a part


def alternatives(
    workspace: Workspace, product: str, algorithm: str, policy: ThresholdSpec
) -> list[Alternative]:
    """Thresholds by several rules, from the lowest to the highest."""
    folder = workspace.evaluation(product, algorithm)
    rows = read_rows(folder / "scores.csv")
    scores = np.array([float(row["score"]) for row in rows])
    bad = np.array([row["label"] != "good" for row in rows], bool)
    details = json.loads((folder / "details.json").read_text())
    calibration: dict[str, list[float]] = details.get("calibration", {})
    normals, known = calibration.get("good", []), calibration.get("defects", [])
    found = []
    for rule in rules(policy, len(normals), len(known)):
        if lacking(rule.policy, len(normals), len(known), policy.min_defects) or not normals:
            continue
        chosen = choose_threshold(
            rule, normals, known, policy.min_defects, policy.confidence, policy.cost
        )
        if chosen.value is None:
            continue
        over = float((scores[~bad] > chosen.value).mean()) if (~bad).any() else None
        miss = float((scores[bad] <= chosen.value).mean()) if bad.any() else None
        cost = None if miss is None else expected(policy.cost, miss, over, None)
        found.append(
            Alternative(named(rule), chosen.value, chosen.overkill_bound, over, miss, cost)
        )
    return sorted(found, key=lambda one: one.value)


def rules(policy: ThresholdSpec, normals: int, defects: int) -> list[Rule]:
    """The rules that are compared, each once."""
    resolved = [Rule(policy=of_good_images(share, normals), overkill=share) for share in SHARES]
    least = [Rule(policy="min_cost", overkill=policy.overkill)] if defects else []
    return [*resolved, *least, *(Rule(policy="max_miss", miss=share) for share in MISSES)]


def named(rule: Rule) -> str:
    """A rule in a few words."""
    if rule.policy == "min_cost":
        return "min_cost"
    if rule.policy == "max_miss":
        return f"max_miss {rule.miss:.0%}"
    return f"{rule.policy} {rule.overkill:.1%}"
