"""Publish what a gate accepted: the release, its trial as it ships, then the champion's pointer."""

from tasks.documents.decision import Check, Decision, Refusal, Shipped, Side
from tasks.promotion.decision import BUDGETS, checks, failure
from tasks.reporting.model_card import write_model_card
from tasks.spec.schema import Product
from tasks.store.base import Store
from tasks.store.champion import promote, record, rolled_back
from tasks.store.fetch_release import fetch
from tasks.store.releases import publish, store_pictures
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder


def carry_out(
    workspace: Workspace, store: Store, product: str, spec: Product, decision: Decision, by: str
) -> Decision:
    """The decision with the challenger's release, published and promoted or refused.

    The release is taken back out of the store and tried before the champion's pointer moves.
    """
    algorithm = decision.challenger.algorithm
    if decision.accepted:
        decision = _tried(workspace, store, product, spec, decision)
    release = decision.challenger.release
    if decision.accepted and release is not None:
        why = f"{algorithm} holds every gate{_against(decision)}"
        decision = decision.model_copy(update={"reasons": [why]})
        promote(store, product, release, reason=why, by=by, record=decision)
    else:
        record(store, product, "refusal", Refusal(**decision.dump(), by=by).dump())
    return decision


def _tried(
    workspace: Workspace, store: Store, product: str, spec: Product, decision: Decision
) -> Decision:
    """The decision after the challenger was published and tried as it ships."""
    from tasks.promotion.assembly import assemble
    from tasks.promotion.trial import shipped  # imports torch: not for who only lists

    algorithm = decision.challenger.algorithm
    with scratch_folder(workspace) as scratch:
        folder = scratch / "release"
        about = assemble(workspace, product, algorithm, decision.metrics, folder)
        write_model_card(workspace, product, folder)
        release = publish(folder, product, store, about)
    store_pictures(store, workspace, product, algorithm, release)
    folder = fetch(store, product, release, workspace.scratch / "releases")
    facts, reasons = shipped(workspace, product, spec, folder)
    held = checks(facts, spec.gates, BUDGETS)
    failed = [failure(check) + busy(check, facts) for check in held if not check.passed]
    reasons = [*reasons, *failed, *undone(store, product, release)]
    found = {
        "accepted": not reasons,
        "challenger": Side(algorithm=algorithm, release=release),
        "floors": [*decision.floors, *held],
        "reasons": reasons,
        "shipped": facts,
    }
    return decision.model_copy(update=found)


BUSY = 1.2  # processes for each core, above which a latency says little


def busy(check: Check, facts: Shipped) -> str:
    """A remark on a latency that was measured while the machine had other work."""
    load = facts.latency_load
    if not check.name.startswith("ms_") or load is None or load <= BUSY:
        return ""
    return f", measured on a busy machine (load {load:g} for each core): run again when it is quiet"


def undone(store: Store, product: str, release: str) -> list[str]:
    """Why a release that somebody went back from is not promoted by itself."""
    change = rolled_back(store, product).get(release)
    if change is None:
        return []
    return [
        f"release {release} was rolled back by {change.by} ({change.reason}); "
        f"`inspectline promote {product} {release}` overrules that"
    ]


def _against(decision: Decision) -> str:
    held = decision.champion
    if held is None:
        return "; the first champion"
    verdict = decision.compared.verdict if decision.compared else ""
    return f" and {verdict} {held.algorithm} {held.release}"
