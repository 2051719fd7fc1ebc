"""What each threshold policy realises on test images, for every evaluated cell of a workspace.

python tests/benchmarks/bench_thresholds.py WORKSPACE
A policy that learns from defects takes its share of them out of the test set first, so rows of one
cell may stand on different images: `good` and `bad` say on how many.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from tasks.decisions.calibration import split_rows
from tasks.decisions.threshold import choose_limits
from tasks.spec.read import read_product
from tasks.spec.schema import Product, ThresholdSpec
from tasks.workspace.files import read_rows
from tasks.workspace.paths import CALIBRATION, Workspace, find

POLICIES: dict[str, dict[str, Any]] = {
    "normal_quantile 1 %": {"policy": "normal_quantile", "overkill": 0.01},
    "normal_quantile 5 %": {"policy": "normal_quantile", "overkill": 0.05},
    "max_overkill 5 %": {"policy": "max_overkill", "overkill": 0.05},
    "max_miss 0": {"policy": "max_miss", "miss": 0.0},
    "max_miss 5 %": {"policy": "max_miss", "miss": 0.05},
    "f1_max": {"policy": "f1_max"},
}
COLUMNS = ("product", "algorithm", "policy", "threshold", "miss", "overkill", "bad", "good", "note")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    workspace = find(parser.parse_args().workspace)
    table = Table(*COLUMNS, box=None)
    for product in workspace.products:
        spec = read_product(workspace.root, product)
        for algorithm in spec.algorithms:
            if (workspace.evaluation(product, algorithm) / "scores.csv").is_file():
                for row in lines(workspace, product, algorithm, spec):
                    table.add_row(product, algorithm, *row)
    Console(width=200).print(table)


def lines(
    workspace: Workspace, product: str, algorithm: str, spec: Product
) -> Iterator[tuple[str, ...]]:
    """Policy, threshold, realised miss and overkill, image counts, and the policy's own note."""
    normals = read_rows(workspace.model(product, algorithm) / CALIBRATION)
    good = np.array([float(row["score"]) for row in normals])
    scored = read_rows(workspace.evaluation(product, algorithm) / "scores.csv")
    scores = {row["path"]: float(row["score"]) for row in scored}
    rows = read_rows(workspace.validation(product) / "test.csv")
    rows = [row for row in rows if row["path"] in scores]
    for name, keys in POLICIES.items():
        rule = ThresholdSpec(**keys)
        parts = split_rows(rows, rule.defect_share, spec.severity)
        defects = [scores[row["path"]] for row in parts.defects]
        chosen = choose_limits(rule, good, defects).reject
        labels = np.array([row["label"] != "good" for row in parts.test])
        rejected = np.array([scores[row["path"]] for row in parts.test]) > (chosen.value or 0)
        miss, overkill = 1 - rejected[labels].mean(), rejected[~labels].mean()
        counts = str(labels.sum()), str((~labels).sum())
        value = "-" if chosen.value is None else f"{chosen.value:.4g}"
        yield name, value, f"{miss:.1%}", f"{overkill:.1%}", *counts, chosen.note


if __name__ == "__main__":
    main()
