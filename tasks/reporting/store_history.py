"""Records of the store about a product: champion, releases, and changes."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tasks.documents.champion import ChangeRecord, Pointer
from tasks.documents.metrics import Metrics
from tasks.reporting.reading import json_object, metrics, nested_object, score_rows
from tasks.reporting.trend import Judged, judged
from tasks.reporting.view import Event, ModelView
from tasks.store.base import Store
from tasks.store.champion import champion, in_order
from tasks.store.release import folder_of
from tasks.store.releases import Release, fetch_pictures, releases
from tasks.workspace.errors import AwayError, LineError, StoreError
from tasks.workspace.paths import Workspace

EVENTS = 40  # of a product's records, the latest
EARLIER = 4  # releases that can be compared, beside the cells


@dataclass(frozen=True)
class StoreRecords:
    """What the store holds of one product."""

    champion: Pointer | None = None
    releases: list[Release] = field(default_factory=list)
    history: list[Event] = field(default_factory=list)
    decided: list[Judged] = field(default_factory=list)  # by the gate, oldest first


def read_store_records(store: Store, product: str) -> StoreRecords:
    """Read the records from the store; StoreError if it is not available."""
    keys = sorted(store.keys(f"records/{product}/"), reverse=True)[:EVENTS]
    current = champion(store, product)
    bodies = latest_first(
        {key: read_record(store, key) for key in keys}, current.record if current else ""
    )
    events = [history_line(body) for body in bodies]
    decided = [found for body in reversed(bodies) if (found := judged(body))]
    return StoreRecords(current, releases(store, product), events, decided)


def read_record(store: Store, key: str) -> ChangeRecord:
    """A record; one that is damaged is shown as such, and breaks no page."""
    try:
        return ChangeRecord.parse(store.get(key) or b"{}", f"'{key}'")
    except AwayError:
        raise
    except LineError as error:
        return ChangeRecord(kind="damaged", what=str(error))


def latest_first(records: dict[str, ChangeRecord], last: str) -> list[ChangeRecord]:
    """Records by their key, of all kinds: by time, but promotions and rollbacks among themselves in
    the order in which they followed each other. last: key of the champion's record."""
    changes = {key: one for key, one in records.items() if one.kind in ("promote", "rollback")}
    ordered = iter(in_order(changes, last)[::-1])
    return [next(ordered) if key in changes else records[key] for key in sorted(records)[::-1]]


def history_line(body: ChangeRecord) -> Event:
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


def earlier_releases(
    workspace: Workspace, store: Store, product: str, known: StoreRecords, cells: list[ModelView]
) -> list[ModelView]:
    """The latest releases that differ from the present cells, for comparison."""
    current = {cell.release for cell in cells}
    found: list[ModelView] = []
    for about in reversed(known.releases):
        if about.id not in current and len(found) < EARLIER:
            found.append(release_view(workspace, store, product, about))
    return found


def release_view(workspace: Workspace, store: Store, product: str, about: Release) -> ModelView:
    """A release as it was evaluated when it was published."""
    notes: list[str] = []
    source = partial(release_file, store, folder_of(product, about.id))
    details = json_object(source, "details.json", notes)
    return ModelView(
        product=product,
        key=f"release-{about.id}",
        algorithm=about.algorithm,
        release=about.id,
        status="champion" if about.champion else "",
        metrics=metrics(source, notes),
        intervals=nested_object(details, "intervals"),
        severities=nested_object(details, "severity", "types"),
        rows=score_rows(source, notes),
        pictures=fetch_pictures(store, workspace, product, about.id),
        notes=notes,
    )


def release_file(store: Store, folder: str, name: str) -> bytes:
    """A file of a release."""
    try:
        content = store.get(folder + name)
    except StoreError as error:
        raise OSError(0, str(error)) from error
    if content is None:
        raise FileNotFoundError(2, "the release has none")
    return content


def release_of_cell(figures: Metrics, known: StoreRecords) -> str:
    """The id of the release that is made of a cell with exactly these figures; empty: none is.

    We compare figures, not scores: the latencies among them are always different, and they are in
    the manifest, so no other file is read from the store.
    """
    asked = figures.model_dump(exclude_unset=True, exclude={"product", "version"})
    for about in reversed(known.releases):
        stored = about.metrics.dump() if about.metrics else {}
        if asked and stored and all(stored.get(key) == value for key, value in asked.items()):
            return about.id
    return ""


def store_or_none(workspace: Workspace, notes: list[str]) -> Store | None:
    """The workspace's store, or None and a note."""
    from tasks.store.opening import store_of

    try:
        store = store_of(workspace)
        store.keys("champions/")
    except LineError as error:
        notes.append(f"the store cannot be asked: {error}")
        return None
    return store


def evaluation_file(path: Path, name: str) -> bytes:
    """A file of an evaluation."""
    return (path / name).read_bytes()
