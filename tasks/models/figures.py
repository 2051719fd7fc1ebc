"""Figures of a test result: flat ones for tables and gates, and all that lies behind them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tasks.decisions.expected_cost import cost_interval, expected
from tasks.decisions.score_rule import by_rule
from tasks.decisions.severity import severity_report
from tasks.decisions.threshold import review_shares
from tasks.metrics.image import image_metrics, image_metrics_by_type
from tasks.metrics.intervals import binomial_interval, image_intervals
from tasks.models.inspector import Inspection
from tasks.spec.policy_names import ScoreRule
from tasks.spec.recipe import EvaluateRecipe
from tasks.spec.schema import Cost

Rows = list[dict[str, str]]


@dataclass
class TestResult:
    """What a model gave on test images; lists run in the order of their rows."""

    rows: Rows
    by_rule: dict[ScoreRule, list[float]] = field(default_factory=lambda: by_rule([]))
    scores: list[float] = field(default_factory=list)  # of the rule that is used
    decisions: list[str] = field(default_factory=list)  # good, review or defect; empty: unknown
    pixels: dict[str, float | None] = field(default_factory=dict)
    pixel_intervals: dict[str, Any] = field(default_factory=dict)
    pixels_by_type: dict[str, dict[str, float | None]] = field(default_factory=dict)
    pro: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))

    def add(self, found: Inspection) -> dict[ScoreRule, float]:
        """Keep the scores of the next image; they by every rule."""
        scores = {rule: found.by(rule) for rule in self.by_rule}
        for rule, score in scores.items():
            self.by_rule[rule].append(score)
        return scores

    @property
    def count(self) -> int:
        """How many images have scores."""
        return len(self.by_rule["model"])

    def put_in_order(self, order: list[int]) -> None:
        """Of scores that were added in another order than that of the rows: the row of each."""
        places = np.argsort(order).tolist()
        self.by_rule = {
            rule: [scores[at] for at in places] for rule, scores in self.by_rule.items()
        }

    def scores_of(self, chosen: list[int]) -> dict[ScoreRule, list[float]]:
        """Scores of the images with these numbers, by every rule."""
        return {rule: [scores[at] for at in chosen] for rule, scores in self.by_rule.items()}


PIXEL_METRICS = ("pixel_auroc", "aupro_30", "aupro_05", "pixel_ap", "pixel_f1_max")


def figures(result: "TestResult", cost: Cost) -> dict[str, Any]:
    """Flat figures; None where the images for one are missing.

    A miss is a defect accepted as good, overkill a good part rejected; what a person is asked to
    review is neither, and counted as `review`.
    """
    defective = labels(result)
    counts = errors(result)
    rejected = np.array(result.decisions, str) == "defect"
    good, bad = int((~defective).sum()), int(defective.sum())
    miss, overkill = (wrong / n if n else None for wrong, n in counts.values())
    found = int(rejected[defective].sum())
    reviewed = review_shares(result.decisions, defective.tolist())
    return {
        **image_metrics(result.scores, defective),
        **{name: result.pixels.get(name) for name in PIXEL_METRICS},
        "normal_recall": None if overkill is None else 1 - overkill,
        "abnormal_recall": None if miss is None else 1 - miss,
        "precision": found / int(rejected.sum()) if bad and rejected.any() else None,
        "miss": miss,
        "overkill": overkill,
        **reviewed,
        "cost": None if miss is None else expected_cost(cost, miss, overkill, reviewed),
        "test_good": good,
        "test_defective": bad,
    }


def details(result: "TestResult", spec: EvaluateRecipe) -> dict[str, Any]:
    """Intervals, figures by defect type, and misses by severity."""
    defective = labels(result)
    resamples = spec.evaluation.resamples
    drawn = image_intervals(result.scores, defective, resamples) if resamples else {}
    pixel = {n: i and [i.low, i.high] for n, i in result.pixel_intervals.items()}
    rates = {kind: binomial_interval(k, n) for kind, (k, n) in errors(result).items()}
    named = [row["label"] for row in result.rows]
    images = image_metrics_by_type(result.scores, named) if defective.any() else {}
    pixels = result.pixels_by_type
    shares = {kind: k / n if n else None for kind, (k, n) in errors(result).items()}
    rates["cost"] = cost_interval(spec.threshold.cost, shares, rates)
    return {
        "intervals": {n: i and list(i) for n, i in {**drawn, **pixel, **rates}.items()},
        "resamples": resamples,
        "by_type": {type: found | pixels.get(type, {}) for type, found in images.items()},
        "severity": severity_report(result.rows, result.decisions, spec.severity).record(),
    }


def expected_cost(
    cost: Cost, miss: float, overkill: float | None, reviewed: dict[str, float | None]
) -> float:
    """Expected cost of a produced part; of a person's look by the share of good and bad parts."""
    good, bad = (reviewed[name] or 0.0 for name in ("review_good", "review_defective"))
    looked = (1 - cost.defects) * good + cost.defects * bad
    return expected(cost, miss, overkill, looked)


def labels(result: "TestResult") -> np.ndarray:
    """Whether each image (N,) is defective."""
    return np.array([row["label"] != "good" for row in result.rows], bool)


def errors(result: "TestResult") -> dict[str, tuple[int, int]]:
    """Wrong decisions and images they were taken on: `miss` of defective, `overkill` of good."""
    defective = labels(result)
    decisions = np.array(result.decisions, str)
    known = decisions != ""
    missed = decisions[defective & known] == "good"
    rejected = decisions[~defective & known] == "defect"
    return {
        "miss": (int(missed.sum()), len(missed)),
        "overkill": (int(rejected.sum()), len(rejected)),
    }
