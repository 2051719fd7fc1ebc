"""How much worse the shipped threshold decides than the best one would.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_decisions.py FOLDER... [--good 16 32 64 0]
        [--defects 0 5 20] [--draws 3] [--algorithms padim patchcore] [--overkill 0.01] [--json OUT]

FOLDER: products in MVTec AD layout. So many good training images (0: all) are drawn at random, and
so many test defects are known; the rest of the test set is judged. Each image passes the backbone
once for all draws. Two ways are compared on the same fits:

    before  scores of folds (4, or 160 / images), the (n + 1) quantile, known defects ignored
    now     what the line does: scores of the model that ships, policy `auto`

The regret is miss + overkill at the threshold, less the smallest sum that any threshold on the
model's own scores has on the same images; a better choice of score can make it negative. `held`:
share of draws whose overkill lies within the stated limit. Good test images are few, so a limit
counts as broken only where their number allows no doubt (binomial, 95 %).
"""

import argparse
import hashlib
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from bench_few import Silent

from ad_models import Run
from ad_models.feature_store import TemporaryFeatures
from tasks.decisions.score_rule import by_rule, choose_rule
from tasks.decisions.threshold import Threshold as Chosen
from tasks.decisions.threshold import choose_threshold
from tasks.metrics.bounds import lower_limit
from tasks.models.fitting import FitJob
from tasks.models.left_out import from_refits, left_out_scores, scored
from tasks.spec.policy_names import ScoreRule
from tasks.spec.read import read_params
from tasks.spec.recipe import FitRecipe
from tasks.spec.schema import Image, Rule, ThresholdSpec, Training
from tasks.workspace.paths import PACKAGE

Rows = list[dict[str, str]]


def rows(paths: list[Path], root: Path) -> Rows:
    """As a validation lists them."""
    return [
        {
            "path": str(path.relative_to(root)),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "label": path.parent.name,
        }
        for path in paths
    ]


def least(good: np.ndarray, bad: np.ndarray) -> float:
    """The smallest miss + overkill of any threshold."""
    levels = np.concatenate((good, bad, [-np.inf]))
    return min(float((bad <= t).mean() + (good > t).mean()) for t in levels)


class Product:
    """A product whose images pass the backbone once."""

    def __init__(self, folder: Path, algorithm: str, size: int) -> None:
        parameters = read_params(PACKAGE).algorithms[algorithm] or {}
        recipe = FitRecipe(parameters=dict(parameters), image=Image(size=size), training=Training())
        store = TemporaryFeatures()
        self.job = FitJob(folder.name, algorithm, recipe, folder, Silent(), features=store)
        self.train = rows(sorted((folder / "train" / "good").iterdir()), folder)
        tests = sorted(p for d in (folder / "test").iterdir() for p in d.iterdir())
        self.test = rows(tests, folder)

    def draw(self, count: int, seed: int) -> dict[str, Any]:
        """Scores of one draw of good images: calibration both ways, good and defective tests."""
        rng = random.Random(f"{self.job.product} {count} {seed}")
        seen = sorted(rng.sample(self.train, count or len(self.train)), key=lambda r: r["path"])
        detector, _, _ = self.job.fit(seen, Run())
        now, _ = left_out_scores(self.job, detector, seen, Run())
        before = from_refits(self.job, seen, min(len(seen), max(4, 160 // len(seen))), Run())
        loader = self.job.feature_loader(detector, self.test, Run())
        groups = [[i] for i in range(len(self.test))]
        found = (detector.predict(batch.image) for batch in loader.batches(groups))
        tested = by_rule(scored(self.job, loader, self.test, groups, found))
        bad = np.array([row["label"] != "good" for row in self.test])
        return {
            "now": by_rule(now),
            "before": [float(row["score"]) for row in before],
            "good": {rule: np.array(scores)[~bad].tolist() for rule, scores in tested.items()},
            "bad": {rule: np.array(scores)[bad].tolist() for rule, scores in tested.items()},
        }


def judge(found: dict[str, Any], known: int, overkill: float, seed: int) -> dict[str, Any]:
    """Figures of both ways with so many known defects."""
    order = np.random.default_rng(seed).permutation(len(found["bad"]["model"]))
    good = {rule: np.array(scores) for rule, scores in found["good"].items()}
    bad = {rule: np.array(scores)[order] for rule, scores in found["bad"].items()}
    shown = {rule: scores[:known].tolist() for rule, scores in bad.items()}
    rest = {rule: scores[known:] for rule, scores in bad.items()}
    policy = ThresholdSpec(overkill=overkill)
    rule = choose_rule(policy, found["now"], shown)
    ways: dict[str, tuple[ScoreRule, Chosen]] = {
        "before": (
            "model",
            choose_threshold(
                Rule(policy="normal_quantile", overkill=overkill), np.array(found["before"])
            ),
        ),
        "now": (rule, choose_threshold(policy, found["now"][rule], shown[rule])),
    }
    figures: dict[str, Any] = {"rule": rule}
    for name, (used, chosen) in ways.items():
        assert chosen.value is not None and chosen.overkill_upper is not None
        over = int((good[used] > chosen.value).sum())
        miss, n = float((rest[used] <= chosen.value).mean()), len(good[used])
        figures[name] = {
            "miss": miss,
            "overkill": over / n,
            "regret": miss + over / n - least(good["model"], rest["model"]),
            "held": lower_limit(over, n, 0.95) <= chosen.overkill_upper,
        }
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--good", nargs="*", type=int, default=[16, 32, 64, 0])
    parser.add_argument("--defects", nargs="*", type=int, default=[0, 5, 20])
    parser.add_argument("--algorithms", nargs="*", default=["padim", "patchcore"])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--overkill", type=float, default=0.01)
    parser.add_argument("--json", type=Path, help="write all figures and scores")
    options = parser.parse_args()
    everything: list[dict[str, Any]] = []
    for folder in options.folders:
        for algorithm in options.algorithms:
            product = Product(folder, algorithm, options.size)
            counts = [count for count in options.good if count < len(product.train)]
            for count in counts:
                for seed in range(options.draws if count else 1):
                    found = product.draw(count, seed)
                    for known in options.defects:
                        figures = judge(found, known, options.overkill, seed)
                        everything.append(
                            {"set": folder.name, "algorithm": algorithm, "good": count or "all"}
                            | {"defects": known, "seed": seed}
                            | figures
                        )
                    if options.json:
                        everything[-1]["scores"] = found
                        options.json.write_text(json.dumps(everything))
                tell(everything, folder.name, algorithm, count or "all")
    for key in ("good", "defects", "algorithm", "set"):
        summary(everything, key)


def tell(everything: list[dict[str, Any]], name: str, algorithm: str, count: int | str) -> None:
    """One line for each number of known defects."""
    for known in sorted({one["defects"] for one in everything}):
        chosen = [
            one
            for one in everything
            if (one["set"], one["algorithm"], one["good"], one["defects"])
            == (name, algorithm, count, known)
        ]
        print(f"{name:<14} {algorithm:<10} {count:>4} good {known:>3} known  {line(chosen)}")


def line(chosen: list[dict[str, Any]]) -> str:
    """Means of both ways."""
    return "   ".join(
        f"{way}: "
        + " ".join(
            f"{name} {np.mean([one[way][name] for one in chosen]):.3f}"
            for name in ("miss", "overkill", "regret", "held")
        )
        for way in ("before", "now")
    )


def summary(everything: list[dict[str, Any]], key: str) -> None:
    """Means over the sets, each with the same weight."""
    parts: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for one in everything:
        parts[one[key]].append(one)
    print(f"\nby {key}")
    for value, chosen in parts.items():
        print(f"  {value!s:<14} {line(chosen)}")


if __name__ == "__main__":
    main()
