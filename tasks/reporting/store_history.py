"""What the store knows of a product: its champion, its releases, and who changed what when."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tasks.documents.champion import ChangeRecord, Pointer
from tasks.documents.metrics import Metrics
from tasks.reporting.reading import metrics, nested, record, scores
from tasks.reporting.view import Event, ModelView
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.release import folder_of
from tasks.store.releases import Release, releases, withdrawn
from tasks.workspace.errors import LineError, StoreError
from tasks.workspace.paths import Workspace

EVENTS = 40  # of a product's records, the latest
EARLIER = 4  # releases that can be compared, beside the cells


@dataclass(frozen=True)
class Shelf:
    """What the store holds of one product."""

    champion: Pointer | None = None
    releases: list[Release] = field(default_factory=list)
    history: list[Event] = field(default_factory=list)


def shelf(store: Store, product: str) -> Shelf:
    """Asked of the store; a StoreError where it is away."""
    keys = sorted(store.keys(f"records/{product}/"), reverse=True)[:EVENTS]
    bodies = [ChangeRecord.parse(store.get(key) or b"{}", f"'{key}'") for key in keys]
    events = [event(body) for body in bodies]
    return Shelf(champion(store, product), releases(store, product), events)


def event(body: ChangeRecord) -> Event:
    """One line of the history, whatever kind of record it is."""
    subject = body.challenger or body
    return Event(
        time=body.time,
        kind=body.kind,
        algorithm=subject.algorithm,
        release=subject.release or "",
        what=body.what,
        by=body.by,
        reason=body.reason or "; ".join(body.reasons),
    )


def earlier(
    workspace: Workspace, store: Store, product: str, known: Shelf, cells: list[ModelView]
) -> list[ModelView]:
    """The latest releases that are not what a cell holds now, to be compared with it."""
    current = {cell.release for cell in cells}
    found: list[ModelView] = []
    for about in reversed(known.releases):
        if about.id not in current and len(found) < EARLIER:
            found.append(released(workspace, store, product, about))
    return found


def released(workspace: Workspace, store: Store, product: str, about: Release) -> ModelView:
    """A release as it was evaluated when it was published."""
    notes: list[str] = []
    source = partial(fetched, store, folder_of(product, about.id))
    details = record(source, "details.json", notes)
    return ModelView(
        product=product,
        key=f"release-{about.id}",
        algorithm=about.algorithm,
        release=about.id,
        verdict="champion" if about.champion else "",
        metrics=metrics(source, notes),
        intervals=nested(details, "intervals"),
        severities=nested(details, "severity", "types"),
        rows=scores(source, notes),
        exhibits=withdrawn(store, workspace, product, about.id),
        notes=notes,
    )


def fetched(store: Store, folder: str, name: str) -> bytes:
    """A file of a release."""
    try:
        content = store.get(folder + name)
    except StoreError as error:
        raise OSError(0, str(error)) from error
    if content is None:
        raise FileNotFoundError(2, "the release has none")
    return content


def published_as(figures: Metrics, known: Shelf) -> str:
    """The id of the release that was made of a cell with exactly these figures; empty: none was.

    By the figures and not the scores: the latencies among them are never twice the same, and they
    stand in the manifest, so that nothing more is asked of the store.
    """
    asked = figures.model_dump(exclude_unset=True, exclude={"product", "version"})
    for about in reversed(known.releases):
        told = about.metrics.dump() if about.metrics else {}
        if asked and told and all(told.get(key) == value for key, value in asked.items()):
            return about.id
    return ""


def opened(workspace: Workspace, notes: list[str]) -> Store | None:
    """The workspace's store, or None and a note."""
    from tasks.store.opening import store_of

    try:
        store = store_of(workspace)
        store.keys("champions/")
    except LineError as error:
        notes.append(f"the store cannot be asked: {error}")
        return None
    return store


def folder(path: Path, name: str) -> bytes:
    """A file of an evaluation."""
    return (path / name).read_bytes()
