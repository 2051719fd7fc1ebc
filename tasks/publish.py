"""Publish what a gate accepted: the release, its trial as it ships, then the champion's pointer."""

import tempfile
from pathlib import Path

from tasks.promotion.decision import BUDGETS, checks, failure
from tasks.spec.schema import Product
from tasks.store.base import Store
from tasks.store.champion import Record, promote, record, rolled_back
from tasks.store.fetch_release import fetch
from tasks.store.releases import publish, store_pictures
from tasks.workspace.paths import Workspace


def carry_out(
    workspace: Workspace, store: Store, product: str, spec: Product, decision: Record, by: str
) -> Record:
    """The decision with the challenger's release, published and promoted or refused.

    The release is taken back out of the store and tried before the champion's pointer moves.
    """
    algorithm = decision["challenger"]["algorithm"]
    if decision["accepted"]:
        from tasks.promotion.assembly import assemble
        from tasks.promotion.trial import shipped  # imports torch: not for who only lists

        with tempfile.TemporaryDirectory(dir=workspace.scratch) as scratch:
            folder = Path(scratch) / "release"
            about = assemble(workspace, product, algorithm, decision["metrics"], folder)
            release = publish(folder, product, store, about)
        store_pictures(store, workspace, product, algorithm, release)
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


def _against(decision: Record) -> str:
    held = decision["champion"]
    if held is None:
        return "; the first champion"
    return f" and {decision['compared']['verdict']} {held['algorithm']} {held['release']}"
