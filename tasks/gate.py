"""Decide whether a product's best cell becomes its champion, publish it, and write down why."""

import hashlib
import json
import tempfile
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.challenge import Challenge
from tasks.files import write_json
from tasks.provenance import origin, provenance
from tasks.reporting.album import deposit
from tasks.spec import Gates, Product, read_params, read_product
from tasks.storage.publish import champion, fetch, promote, publish, record
from tasks.storage.store import Store, open_store
from tasks.workspace import Workspace

Metrics = dict[str, Any]
Record = dict[str, Any]
# name of a gate -> whether it is a floor (a figure below fails) or a ceiling
FLOORS = {"image_auroc": True, "aupro_30": True, "miss": False, "overkill": False}
BUDGETS = {"ms_per_image": False, "ms_p95": False, "size_mb": False}  # of what ships


def store_of(workspace: Workspace) -> Store:
    """The store that params.yaml names; a folder is taken from the workspace's root."""
    line = read_params(workspace.root).line
    address = line.store if line.store.startswith("s3://") else workspace.root / line.store
    return open_store(address, single_writer=line.single_writer)


def gate(workspace: Workspace, product: str, by: str, algorithms: Collection[str]) -> Record | None:
    """The decision on the product's cells of `algorithms`; None where it was taken before.

    An accepted challenger is published and promoted; a refusal is recorded just the same.
    """
    spec = read_product(workspace.root, product)
    cells = evaluated(workspace, product, algorithms)
    if not cells:
        return None
    store = store_of(workspace)
    current = champion(store, product)
    question = _question(workspace, cells, spec, current)
    if question == _memo(workspace, product).get("question"):
        return None
    decision = decide(workspace, store, product, spec, cells)
    decision = carry_out(workspace, store, product, spec, decision, by)
    question = _question(workspace, cells, spec, champion(store, product))
    write_json(_memo_path(workspace, product), {"question": question, "decision": decision})
    return decision


def undecided(workspace: Workspace, product: str) -> bool:
    """Whether cells, gates or champion have changed since the last decision."""
    spec = read_product(workspace.root, product)
    cells = evaluated(workspace, product, spec.algorithms)
    current = champion(store_of(workspace), product)
    question = _question(workspace, cells, spec, current)
    return bool(cells) and question != _memo(workspace, product).get("question")


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
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
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


def carry_out(
    workspace: Workspace, store: Store, product: str, spec: Product, decision: Record, by: str
) -> Record:
    """The decision with the challenger's release, published and promoted or refused.

    The release is taken back out of the store and tried before the champion's pointer moves.
    """
    algorithm = decision["challenger"]["algorithm"]
    if decision["accepted"]:
        from tasks.release import assemble, shipped  # imports torch: not for who only lists

        with tempfile.TemporaryDirectory(dir=workspace.scratch) as scratch:
            folder = Path(scratch) / "release"
            about = assemble(workspace, product, algorithm, decision["metrics"], folder)
            release = publish(folder, product, store, about)
        deposit(store, workspace, product, algorithm, release)
        decision["challenger"]["release"] = release
        folder = fetch(store, product, release, workspace.scratch / "releases")
        facts, reasons = shipped(workspace, product, spec, folder)
        decision["floors"] += checks(facts, spec.gates, BUDGETS)
        failed = [failure(c) for c in checks(facts, spec.gates, BUDGETS) if not c["passed"]]
        reasons = [*reasons, *failed, *undone(store, product, release)]
        decision |= {"shipped": facts, "reasons": reasons, "accepted": not reasons}
    if decision["accepted"]:
        decision["reasons"] = [f"{algorithm} holds every gate{_against(decision)}"]
        promote(store, product, release, reason=decision["reasons"][0], by=by, record=decision)
    else:
        record(store, product, "refusal", {**decision, "by": by})
    return decision


def undone(store: Store, product: str, release: str) -> list[str]:
    """Why a release that somebody went back from is not promoted by itself."""
    change = rolled_back(store, product).get(release)
    if change is None:
        return []
    return [
        f"release {release} was rolled back by {change['by']} ({change['reason']}); "
        f"`inspectline promote {product} {release}` overrules that"
    ]


def rolled_back(store: Store, product: str) -> dict[str, Record]:
    """Releases that somebody went back from and nobody promoted since, with that change."""
    found: dict[str, Record] = {}
    keys = [k for k in store.keys(f"records/{product}/") if "-promote-" in k or "-rollback-" in k]
    changes = [json.loads(store.get(key) or b"{}") for key in keys]
    changes.append(champion(store, product) or {})  # its record may follow later
    for change in sorted(changes, key=lambda one: one.get("since", "")):
        found.pop(change.get("release", ""), None)
        if "instead_of" in change:
            found[change["instead_of"]] = change
    return found


def _against(decision: Record) -> str:
    held = decision["champion"]
    if held is None:
        return "; the first champion"
    return f" and {decision['compared']['verdict']} {held['algorithm']} {held['release']}"


def _question(
    workspace: Workspace, cells: list[Metrics], spec: Product, current: Record | None
) -> str:
    """What a decision answers: the same question is not asked twice."""
    rules = [spec.gates.model_dump(mode="json"), spec.release.model_dump(mode="json")]
    store = read_params(workspace.root).line.store
    parts = [cells, rules, current and current["release"], store]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
