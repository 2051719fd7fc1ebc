"""Decide whether a product's best cell becomes its champion, publish it, and write down why."""

import hashlib
import json
from collections.abc import Collection

from tasks.documents.champion import Pointer
from tasks.documents.decision import Decision, Memo
from tasks.documents.metrics import GateMetrics
from tasks.promotion.decision import decide_promotion, evaluated, memo_path, read_memo
from tasks.promotion.golden import keep_golden
from tasks.publish import carry_out
from tasks.spec.read import read_params, read_product
from tasks.spec.schema import Product
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.paths import Workspace


def gate(
    workspace: Workspace, product: str, by: str, algorithms: Collection[str]
) -> Decision | None:
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
    if question == read_memo(workspace, product).question:
        return None
    decision = decide_promotion(workspace, store, product, spec, cells)
    decision = carry_out(workspace, store, product, spec, decision, by)
    question = _question(workspace, cells, spec, champion(store, product))
    release = decision.challenger.release
    if decision.accepted and release is not None:
        keep_golden(store, workspace, product, release, spec)
    Memo(question=question, decision=decision).write(memo_path(workspace, product))
    return decision


def undecided(workspace: Workspace, product: str) -> bool:
    """Whether cells, gates or champion have changed since the last decision."""
    spec = read_product(workspace.root, product)
    cells = evaluated(workspace, product, spec.algorithms)
    current = champion(store_of(workspace), product)
    question = _question(workspace, cells, spec, current)
    return bool(cells) and question != read_memo(workspace, product).question


def _question(
    workspace: Workspace, cells: list[GateMetrics], spec: Product, current: Pointer | None
) -> str:
    """What a decision answers: the same question is not asked twice."""
    figures = [cell.model_dump(exclude_unset=True, exclude={"version"}) for cell in cells]
    rules = [
        spec.gates.model_dump(mode="json"),
        spec.release.model_dump(mode="json", exclude={"pixels", "golden"}),
    ]
    store = read_params(workspace.root).line.store
    parts = [figures, rules, current and current.release, store]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
