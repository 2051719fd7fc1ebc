"""Records of the store about a product: champion, releases, and changes."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tasks.reporting.reading import json_object, nested_object, score_rows
from tasks.reporting.view import ModelView, Record
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.release import folder_of
from tasks.store.releases import fetch_pictures, releases
from tasks.workspace.errors import LineError, StoreError
from tasks.workspace.paths import Workspace

EVENTS = 40  # of a product's records, the latest
EARLIER = 4  # releases that can be compared, beside the cells


@dataclass(frozen=True)
class StoreRecords:
    """What the store holds of one product."""

    champion: Record | None = None
    releases: list[Record] = field(default_factory=list)
    history: list[Record] = field(default_factory=list)


def read_store_records(store: Store, product: str) -> StoreRecords:
    """Read the records from the store; StoreError if it is not available."""
    keys = sorted(store.keys(f"records/{product}/"), reverse=True)[:EVENTS]
    events = [history_line(json.loads(store.get(key) or b"{}")) for key in keys]
    return StoreRecords(champion(store, product), releases(store, product), events)


def history_line(body: Record) -> Record:
    """One line of the history, from a record of any kind."""
    subject = body if "algorithm" in body else nested_object(body, "challenger")
    reason = body.get("reason") or "; ".join(map(str, body.get("reasons") or []))
    return {
        "time": str(body.get("time") or ""),
        "kind": str(body.get("kind") or "record"),
        "algorithm": subject.get("algorithm") or "",
        "release": subject.get("release") or "",
        "what": body.get("what") or "",  # of a change that is about no release
        "by": body.get("by") or "",
        "reason": reason,
    }


def earlier_releases(
    workspace: Workspace, store: Store, product: str, known: StoreRecords, cells: list[ModelView]
) -> list[ModelView]:
    """The latest releases that differ from the present cells, for comparison."""
    current = {cell.release for cell in cells}
    found: list[ModelView] = []
    for about in reversed(known.releases):
        if about["id"] not in current and len(found) < EARLIER:
            found.append(release_view(workspace, store, product, about))
    return found


def release_view(workspace: Workspace, store: Store, product: str, about: Record) -> ModelView:
    """The view of a release, with its evaluation at publication."""
    notes: list[str] = []
    source = partial(release_file, store, folder_of(product, about["id"]))
    details = json_object(source, "details.json", notes)
    return ModelView(
        product=product,
        key=f"release-{about['id']}",
        algorithm=about["algorithm"],
        release=about["id"],
        status="champion" if about["champion"] else "",
        metrics=json_object(source, "metrics.json", notes),
        intervals=nested_object(details, "intervals"),
        severities=nested_object(details, "severity", "types"),
        rows=score_rows(source, notes),
        pictures=fetch_pictures(store, workspace, product, about["id"]),
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


def release_of_cell(metrics: Record, known: StoreRecords) -> str:
    """The id of the release with exactly these figures; empty if there is none.

    We compare figures, not scores: the latencies among them are always different, and they are in
    the manifest, so no other file is read from the store.
    """
    for about in reversed(known.releases):
        told = about["metrics"]
        if told and all(told.get(k) == v for k, v in metrics.items() if k != "product"):
            return str(about["id"])
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
