"""Decide whether a product's best cell becomes its champion, publish it, and write down why."""

import hashlib
import json
from collections.abc import Collection

from tasks.promotion.decision import Metrics, _memo, _memo_path, decide, evaluated
from tasks.publish import carry_out
from tasks.spec.read import read_params, read_product
from tasks.spec.schema import Product
from tasks.store.champion import Record, champion
from tasks.store.opening import store_of
from tasks.workspace.files import write_json
from tasks.workspace.paths import Workspace


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


def _question(
    workspace: Workspace, cells: list[Metrics], spec: Product, current: Record | None
) -> str:
    """What a decision answers: the same question is not asked twice."""
    rules = [spec.gates.model_dump(mode="json"), spec.release.model_dump(mode="json")]
    store = read_params(workspace.root).line.store
    parts = [cells, rules, current and current["release"], store]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
