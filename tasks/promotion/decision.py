"""What a gate decides: limits held or not, the best cell, the champion it is compared with."""

import json
from collections.abc import Iterable
from pathlib import Path

from tasks.documents.base import Part
from tasks.documents.decision import Check, Decision, Memo, Side
from tasks.documents.metrics import METRICS, GateMetrics, Metrics
from tasks.promotion.challenge import Challenge
from tasks.promotion.provenance import provenance
from tasks.spec.schema import Gates, Product
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.workspace import clock
from tasks.workspace.git import origin
from tasks.workspace.paths import Workspace

# name of a gate -> whether it is a floor (a figure below fails) or a ceiling
FLOORS = {"image_auroc": True, "aupro_30": True, "miss": False, "overkill": False}
UNMEASURED = ("miss", "overkill")  # refuse nothing where no image of the kind was tested
BUDGETS = {"ms_per_image": False, "ms_p95": False, "size_mb": False}  # of what ships


def last_decision(workspace: Workspace, product: str) -> Decision | None:
    """The decision taken last in this clone of the workspace."""
    return read_memo(workspace, product).decision


def memo_path(workspace: Workspace, product: str) -> Path:
    """Where this clone keeps the last decision on a product."""
    return workspace.scratch / "decisions" / f"{product}.json"


def read_memo(workspace: Workspace, product: str) -> Memo:
    """The last decision on a product and what it answered; an empty memo before the first one."""
    path = memo_path(workspace, product)
    return Memo.read(path) if path.is_file() else Memo()


def evaluated(workspace: Workspace, product: str, algorithms: Iterable[str]) -> list[GateMetrics]:
    """Figures of each of the product's cells that has some, with what blocks a promotion."""
    found = []
    for folder in (workspace.evaluation(product, algorithm) for algorithm in algorithms):
        if (folder / METRICS).is_file():
            details = json.loads((folder / "details.json").read_text())
            known, blocking = Metrics.read(folder / METRICS).dump(), details["severity"]["blocking"]
            found.append(GateMetrics(**known, intervals=details["intervals"], blocking=blocking))
    return found


def decide_promotion(
    workspace: Workspace, store: Store, product: str, spec: Product, cells: list[GateMetrics]
) -> Decision:
    """The decision record before anything is published: who challenges, what each gate said."""
    current = champion(store, product)
    best = max([m for m in cells if not objections(m, spec.gates)] or cells, key=rank)
    reasons = objections(best, spec.gates)
    compared = None
    if current is not None and best.threshold is not None:
        challenge = Challenge(workspace, store, product, spec, current)
        compared, against = challenge.compare(best.algorithm)
        reasons += against
    held = Side(algorithm=current.algorithm, release=current.release) if current else None
    return Decision(
        product=product,
        time=clock.now(),
        accepted=not reasons,
        challenger=Side(algorithm=best.algorithm, release=None),
        champion=held,
        compared=compared,
        floors=checks(best, spec.gates, FLOORS),
        reasons=reasons,
        metrics=best,
        store=store.address,
        provenance=provenance(workspace, product, best.algorithm),
        origin=origin(workspace),
    )


def objections(metrics: GateMetrics, gates: Gates) -> list[str]:
    """Why a cell may not be promoted whatever the champion is; empty where it may."""
    failed = [failure(c) for c in checks(metrics, gates, FLOORS) if not c.passed]
    if metrics.threshold is None:
        failed.append("no threshold: too few good images that a fit did not see")
    return [*failed, *metrics.blocking]


def missing_gates(gates: Gates, metrics: Metrics) -> list[str]:
    """Gates that are not asked for although there are images for them now."""
    measured = metrics.image_auroc is not None and metrics.miss is not None
    if not measured or gates.image_auroc is not None:
        return []
    return [
        "there are known defects now, but no gate on the image AUROC: set gates.image_auroc, for "
        "example to 0.8"
    ]


def rank(metrics: Metrics) -> tuple[float, ...]:
    """Larger is better: expected cost of the decisions, then image AUROC, AUPRO and speed. Without
    test defects all cells rank equal, and the first one wins: no choice hangs on a few
    milliseconds."""
    known = (metrics.image_auroc, metrics.aupro_30)
    cost = -float("inf") if metrics.cost is None else -metrics.cost
    first = [-1.0 if value is None else value for value in known]
    slow = 0.0 if known[0] is None else metrics.ms_per_image or 0.0
    return (cost, *first, -slow)


def checks(figures: Part, gates: Gates, names: dict[str, bool]) -> list[Check]:
    """Each gate asked for: its limit, the value, and whether it passed. No value, no pass, but for
    `UNMEASURED`."""
    asked = [(name, getattr(gates, name)) for name in names if getattr(gates, name) is not None]
    values = [figures.figure(name) for name, _ in asked]
    return [
        Check(name=name, limit=limit, value=value, passed=_holds(name, value, limit, names[name]))
        for (name, limit), value in zip(asked, values, strict=True)
    ]


def _holds(name: str, value: float | None, limit: float, floor: bool) -> bool:
    if value is None:
        return name in UNMEASURED
    return value >= limit if floor else value <= limit


def failure(check: Check) -> str:
    """Why a gate did not pass, and what can be done where the figure is unknown."""
    name, value, limit = check.name, check.value, check.limit
    if value is None:
        lacking = "no test images or masks for it"
        return f"{name} is unknown: {lacking}; add some, or set gates.{name}: null"
    side = "below" if FLOORS.get(name) else "above"
    return f"{name} is {value:.4g}, {side} the limit of {limit:.4g}"
