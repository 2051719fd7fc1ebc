"""All cells of a workspace, one row per cell."""

from pathlib import Path
from typing import Any

from tasks.documents.champion import Pointer
from tasks.documents.metrics import METRICS, Metrics
from tasks.promotion.evaluated_cell import read_cell
from tasks.spec.read import read_product
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.errors import StoreError
from tasks.workspace.files import write_rows
from tasks.workspace.listener import Listener, main
from tasks.workspace.paths import Workspace

COLUMNS = (
    "product",
    "algorithm",
    "preset",
    "image_size",
    "batch_size",
    "steps",
    "backbone",
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


DECIDED = ("miss", "overkill", "review", "cost", "overkill_bound", "overkill_upper")


def champions(workspace: Workspace, products: list[str]) -> dict[str, Pointer | None]:
    """The champion of each product; empty where the store cannot be asked."""
    try:
        store = store_of(workspace)
        return {product: champion(store, product) for product in products}
    except StoreError:
        return {}


def champion_algorithms(found: dict[str, Pointer | None]) -> dict[str, str]:
    """The algorithm of each champion, by product."""
    return {product: pointer.algorithm for product, pointer in found.items() if pointer}


def read_results(workspace: Workspace) -> list[Metrics]:
    """Metrics of every evaluated cell that the specs ask for, products in order."""
    found = []
    for product in workspace.products:
        for algorithm in read_product(workspace.root, product).algorithms:
            path = workspace.evaluation(product, algorithm) / METRICS
            if path.is_file():
                found.append(Metrics.read(path))
    return found


def row(metrics: Metrics) -> dict[str, Any]:
    """A cell's line of the leaderboard."""
    return {name: getattr(metrics, name) for name in COLUMNS}


def result(workspace: Workspace, metrics: Metrics, best: dict[str, str]) -> dict[str, Any]:
    """A cell for `inspectline results --json`: its line of the leaderboard, and how it decides."""
    cell = read_cell(workspace, metrics.product, metrics.algorithm)
    return {
        **row(metrics),
        **{name: metrics.figure(name) for name in DECIDED},
        "intervals": cell.intervals if cell else {},
        "threshold_policy": metrics.threshold_policy,
        "pixel_threshold": cell.thresholds.pixel_threshold if cell and cell.thresholds else None,
        "champion": best.get(metrics.product) == metrics.algorithm,
    }


def all_evaluated(workspace: Workspace) -> bool:
    """Whether every cell that the specs ask for is evaluated."""
    asked = [len(read_product(workspace.root, p).algorithms) for p in workspace.products]
    return len(read_results(workspace)) == sum(asked)


def leaderboard(workspace: Workspace, listener: Listener | None = None) -> Path:
    """Write data/leaderboard.csv."""
    path = workspace.root / "data" / "leaderboard.csv"
    write_rows(path, COLUMNS, map(row, read_results(workspace)))
    return path


if __name__ == "__main__":
    main(leaderboard)
