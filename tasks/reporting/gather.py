"""Gather the data for the pages of a workspace."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from tasks.documents.decision import Decision
from tasks.documents.metrics import METRICS
from tasks.promotion.decision import last_decision
from tasks.reporting import store_history
from tasks.reporting.data import data_view
from tasks.reporting.decision_lines import outcome, threshold_lines
from tasks.reporting.reading import (
    curve_points,
    json_object,
    metrics,
    nested_object,
    read_thresholds,
    score_rows,
)
from tasks.reporting.store_history import StoreRecords
from tasks.reporting.trend import decision_trend
from tasks.reporting.view import ModelView, ProductView, View
from tasks.spec.automatic import choice_of, explain
from tasks.spec.read import UNTIL, is_automatic, mistake_in, read_product
from tasks.store.base import Store
from tasks.store.opening import seen_from
from tasks.store.releases import PICTURES_FILE
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace


def gather(workspace: Workspace, failures: dict[str, str] | None = None) -> View:
    """failures: why stages of the run that is reported failed, by their name."""
    failures = failures or {}
    away: list[str] = []
    store = store_history.store_or_none(workspace, away)
    products = [product_view(workspace, store, name, failures, away) for name in workspace.products]
    return View(workspace.root.name, datetime.now(UTC), products, failures)


def product_view(
    workspace: Workspace,
    store: Store | None,
    product: str,
    failures: dict[str, str],
    notes: list[str],
) -> ProductView:
    """One product; notes: what is known to be missing already."""
    notes = list(notes)
    known = StoreRecords()
    try:
        known = store_history.read_store_records(store, product) if store else known
    except (LineError, ValueError) as error:
        notes.append(f"the store's records of {product} cannot be read: {error}")
        store = None
    decision = decided(workspace, product, notes)
    cells = [
        cell
        for name in spec_algorithms(workspace, product, notes)
        if (cell := cell_view(workspace, product, name, known))
    ]
    cells = [replace(cell, status=cell_status(cell, known, decision)) for cell in cells]
    others = (
        store_history.earlier_releases(workspace, store, product, known, cells) if store else []
    )
    automatic = is_automatic(workspace.root, product)
    return ProductView(
        name=product,
        folder=workspace.product(product),
        champion=known.champion,
        decision=decision,
        releases=known.releases,
        history=known.history,
        trend=decision_trend(known.decided, limits_of(workspace, product)),
        models=cells + others,
        data=data_view(workspace, product, notes),
        chosen=explain(choice_of(workspace.product(product))) if automatic else [],
        skipped=failures.get(f"validate {product}", ""),
        notes=notes,
    )


def decided(workspace: Workspace, product: str, notes: list[str]) -> Decision | None:
    """What the gate decided last."""
    try:
        found = last_decision(workspace, product)
        return found and found.model_copy(update={"store": seen_from(workspace, found.store)})
    except LineError as error:
        notes.append(str(error))
        return None


def spec_algorithms(workspace: Workspace, product: str, notes: list[str]) -> list[str]:
    """The algorithms that the spec asks for."""
    try:
        found = list(read_product(workspace.root, product).algorithms)
    except LineError as error:
        notes.append(str(error))
        return []
    if mistake := mistake_in(workspace.root, product):
        notes.append(f"{mistake}; {UNTIL}")
    return found


def limits_of(workspace: Workspace, product: str) -> dict[str, float | None]:
    """What the spec asks of miss and overkill; none where it cannot be read."""
    try:
        gates = read_product(workspace.root, product).gates
    except LineError:  # told already
        return {}
    return {"miss": gates.miss, "overkill": gates.overkill}


def cell_view(
    workspace: Workspace, product: str, algorithm: str, known: StoreRecords
) -> ModelView | None:
    """The view of a cell; None if it is not evaluated."""
    folder = workspace.evaluation(product, algorithm)
    if not (folder / METRICS).is_file():
        return None
    notes: list[str] = []
    source = partial(store_history.evaluation_file, folder)
    details = json_object(source, "details.json", notes)
    figures = metrics(source, notes)
    edge = nested_object(details, "edge")
    said = [outcome(figures, nested_object(details, "intervals"))]
    if thresholds := read_thresholds(source, notes):
        said += threshold_lines(thresholds, edge)
    return ModelView(
        product=product,
        key=algorithm,
        algorithm=algorithm,
        release=store_history.release_of_cell(figures, known),
        metrics=figures,
        intervals=nested_object(details, "intervals"),
        severities=nested_object(details, "severity", "types"),
        rows=score_rows(source, notes),
        roc=curve_points(source, "roc.csv", "tpr", 1.0, notes),
        pro=curve_points(source, "pro.csv", "pro", 0.3, notes),
        pictures=folder / PICTURES_FILE,
        said=said,
        edge=edge.get("images", []),
        notes=notes,
    )


def cell_status(cell: ModelView, known: StoreRecords, decision: Decision | None) -> str:
    """champion: the store says so; refused: the last decision was about this cell."""
    if known.champion and known.champion.release == cell.release:
        return "champion"
    if decision is None or decision.accepted:
        return ""
    return "refused" if decision.challenger.algorithm == cell.algorithm else ""
