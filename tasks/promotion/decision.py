"""What a gate decides: limits held or not, the best cell, the champion it is compared with."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.promotion.challenge import Challenge
from tasks.promotion.provenance import provenance
from tasks.spec.schema import Gates, Product
from tasks.store.base import Store
from tasks.store.champion import Record, champion
from tasks.workspace import clock
from tasks.workspace.git import origin
from tasks.workspace.paths import Workspace

Metrics = dict[str, Any]
# name of a gate -> whether it is a floor (a figure below fails) or a ceiling
FLOORS = {"image_auroc": True, "aupro_30": True, "miss": False, "overkill": False}
BUDGETS = {"ms_per_image": False, "ms_p95": False, "size_mb": False}  # of what ships


def last_decision(workspace: Workspace, product: str) -> Record | None:
    """The decision taken last in this clone of the workspace."""
    return _memo(workspace, product).get("decision")


def _memo_path(workspace: Workspace, product: str) -> Path:
    return workspace.scratch / "decisions" / f"{product}.json"


def _memo(workspace: Workspace, product: str) -> Record:
    path = _memo_path(workspace, product)
    return json.loads(path.read_text()) if path.is_file() else {}


def evaluated(workspace: Workspace, product: str, algorithms: Iterable[str]) -> list[Metrics]:
    """Figures of each of the product's cells that has some, with what blocks a promotion."""
    found = []
    for folder in (workspace.evaluation(product, algorithm) for algorithm in algorithms):
        if (folder / "metrics.json").is_file():
            details = json.loads((folder / "details.json").read_text())
            metrics = json.loads((folder / "metrics.json").read_text())
            blocking = details["severity"]["blocking"]
            found.append({**metrics, "intervals": details["intervals"], "blocking": blocking})
    return found


def decide(
    workspace: Workspace, store: Store, product: str, spec: Product, cells: list[Metrics]
) -> Record:
    """The decision record before anything is published: who challenges, what each gate said."""
    current = champion(store, product)
    best = max([m for m in cells if not objections(m, spec.gates)] or cells, key=rank)
    reasons = objections(best, spec.gates)
    compared = None
    if current is not None and best["threshold"] is not None:
        challenge = Challenge(workspace, store, product, spec, current)
        compared = challenge.compare(best)
        reasons += compared.pop("reasons")
    return {
        "product": product,
        "time": clock.now(),
        "accepted": not reasons,
        "challenger": {"algorithm": best["algorithm"], "release": None},
        "champion": current and {k: current[k] for k in ("algorithm", "release")},
        "compared": compared,
        "floors": checks(best, spec.gates, FLOORS),
        "reasons": reasons,
        "metrics": best,
        "store": store.address,
        "provenance": provenance(workspace, product, best["algorithm"]),
        "origin": origin(workspace),
    }


def objections(metrics: Metrics, gates: Gates) -> list[str]:
    """Why a cell may not be promoted whatever the champion is; empty where it may."""
    failed = [failure(c) for c in checks(metrics, gates, FLOORS) if not c["passed"]]
    if metrics["threshold"] is None:
        failed.append("no threshold: too few good images that a fit did not see")
    return [*failed, *metrics["blocking"]]


def rank(metrics: Metrics) -> tuple[float, ...]:
    """Larger is better: image AUROC, then AUPRO, then speed. Where there are no defects to tell by
    all are equal, and the first of them goes before: no choice hangs on a few milliseconds."""
    known = [metrics[name] for name in ("image_auroc", "aupro_30")]
    first = [-1.0 if value is None else value for value in known]
    slow = 0.0 if known[0] is None else metrics["ms_per_image"] or 0.0
    return (*first, -slow)


def checks(figures: Metrics, gates: Gates, names: dict[str, bool]) -> list[Record]:
    """Each gate asked for: its limit, the value, and whether it passed. No value, no pass."""
    asked = [(name, getattr(gates, name)) for name in names if getattr(gates, name) is not None]
    return [
        {
            "name": name,
            "limit": limit,
            "value": figures[name],
            "passed": _holds(figures[name], limit, names[name]),
        }
        for name, limit in asked
    ]


def _holds(value: float | None, limit: float, floor: bool) -> bool:
    if value is None:
        return False
    return value >= limit if floor else value <= limit


def failure(check: Record) -> str:
    """Why a gate did not pass, and what can be done where the figure is unknown."""
    name, value, limit = check["name"], check["value"], check["limit"]
    if value is None:
        lacking = "no test images or masks for it"
        return f"{name} is unknown: {lacking}; add some, or set gates.{name}: null"
    side = "below" if FLOORS.get(name) else "above"
    return f"{name} is {value:.4g}, {side} the limit of {limit:.4g}"
