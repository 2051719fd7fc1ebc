"""All cells of a workspace, one row per cell."""

import json
from pathlib import Path
from typing import Any

from tasks.spec.read import read_product
from tasks.workspace.files import write_rows
from tasks.workspace.listener import Listener, main
from tasks.workspace.paths import Workspace

COLUMNS = (
    "product",
    "algorithm",
    "image_auroc",
    "pixel_auroc",
    "aupro_30",
    "aupro_05",
    "image_f1_max",
    "threshold",
    "normal_recall",
    "abnormal_recall",
    "precision",
    "ms_per_image",
    "fit_seconds",
    "peak_memory_mb",
)


def read_results(workspace: Workspace) -> list[dict[str, Any]]:
    """Metrics of every evaluated cell in the specs, products in order."""
    found = []
    for product in workspace.products:
        for algorithm in read_product(workspace.root, product).algorithms:
            path = workspace.evaluation(product, algorithm) / "metrics.json"
            if path.is_file():
                found.append(json.loads(path.read_text()))
    return found


def all_evaluated(workspace: Workspace) -> bool:
    """Whether every cell in the specs is evaluated."""
    asked = [len(read_product(workspace.root, p).algorithms) for p in workspace.products]
    return len(read_results(workspace)) == sum(asked)


def leaderboard(workspace: Workspace, listener: Listener | None = None) -> Path:
    """Write data/leaderboard.csv."""
    path = workspace.root / "data" / "leaderboard.csv"
    rows = [{name: row[name] for name in COLUMNS} for row in read_results(workspace)]
    write_rows(path, COLUMNS, rows)
    return path


if __name__ == "__main__":
    main(leaderboard)
