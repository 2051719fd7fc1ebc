"""Pack what happened to a product in a period for an auditor, to be read without a tool of ours."""

import hashlib
import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.documents.metrics import METRICS
from tasks.documents.model_card import CARD_JSON, CARD_TEXT
from tasks.documents.prediction import Prediction
from tasks.documents.threshold import THRESHOLD
from tasks.monitoring.findings import Finding, drift, read_reference
from tasks.monitoring.log import read_log
from tasks.reporting.audit_page import Audit, Inspected, Named, audit_page
from tasks.reporting.store_history import latest_first, read_record
from tasks.spec.corrections import read_corrections
from tasks.spec.read import read_product
from tasks.spec.schema import Drift
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.store.opening import store_of
from tasks.store.release import check_whole, folder_of, read_manifest
from tasks.store.seal import SIGNATURE
from tasks.workspace.errors import AwayError, DataError, LineError
from tasks.workspace.files import file_beside
from tasks.workspace.paths import Workspace

Files = dict[str, bytes]  # path in the archive -> content
SUMS = "SHA256SUMS"  # of every other file, as `sha256sum --check` reads it
OF_RELEASE = (MANIFEST, METRICS, THRESHOLD, "provenance.json", CARD_JSON, CARD_TEXT, SIGNATURE)
EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a file in a ZIP: the same content gives the same archive


def audit(
    workspace: Workspace,
    product: str,
    target: Path,
    since: date | None = None,
    until: date | None = None,
    log: Path | None = None,
) -> Path:
    """Write the archive `target`, whole or not at all; the same facts give the same bytes.

    since, until: first and last day, in UTC; None: no end. log: where predictions are logged.
    DataError where nothing is known of the product.
    """
    store = store_of(workspace)
    if not (keys := store.keys(f"records/{product}/")):
        workspace.require(product)
        raise DataError(f"the store {store.address} has no record of '{product}'; run it first")
    period = Period(since, until)
    bodies = {key: store.get(key) or b"" for key in keys}
    within = {key: body for key, body in bodies.items() if period.has(_time(key, body))}
    logged = _logged(log, product, period)
    named = releases_of(store, product, bodies, within, period, logged)
    found = Audit(
        product=product,
        since=since,
        until=until,
        champion=champion(store, product),
        changes=_changes(store, product, within),
        releases=[_named(store, product, release) for release in named],
        corrections=read_corrections(workspace.corrections(product)),
        inspected=[Inspected.of(day, records) for day, records in _by_day(logged).items()],
        drift={r: _drift(workspace, store, product, r, logged) for r in named} if logged else {},
        logged=log is not None,
    )
    files = {f"{key}": body for key, body in within.items()}
    files |= {f"{folder_of(product, r)}{n}": c for r in named for n, c in _texts(store, product, r)}
    for path in (workspace.corrections(product), workspace.product(product) / "product.yaml"):
        if path.is_file():
            files[f"spec/{path.name}"] = path.read_bytes()
    files["drift.json"] = _json(
        {r: [asdict(one) for one in some] for r, some in found.drift.items()}
    )
    files["index.html"] = audit_page(found).encode()
    return write_archive(target, files)


class Period:
    """Days, both ends included, in UTC."""

    def __init__(self, since: date | None, until: date | None) -> None:
        if since and until and since > until:
            raise DataError(f"--since {since} is after --until {until}; give them in order")
        self.first = since.isoformat() if since else ""
        self.last = until.isoformat() if until else "9999-12-31"

    def has(self, time: str) -> bool:
        """Whether a time (UTC, ISO 8601) is in it."""
        return self.first <= time[:10] <= self.last


def releases_of(
    store: Store,
    product: str,
    bodies: Files,
    within: Files,
    period: Period,
    logged: list[Prediction],
) -> list[str]:
    """Releases that the period is about: published, changed or weighed in it, or that inspected;
    and the champion at its beginning."""
    found = {one.release for one in logged if one.release}
    for body in within.values():
        found |= set(_releases(body))
    changes = {
        key: body for key, body in bodies.items() if "-promote-" in key or "-rollback-" in key
    }
    before = [key for key, body in changes.items() if period.first > _time(key, body)[:10]]
    if before:
        found |= set(_releases(changes[max(before)])[:1])
    top = f"releases/{product}/"
    there = {key.removeprefix(top).split("/")[0] for key in store.keys(top)}
    for release in there - found:
        manifest = _manifest(store, product, release)
        if manifest and period.has(manifest.created):
            found.add(release)
    return sorted(found & there)


def _releases(body: bytes) -> list[str]:
    """Releases that a record names: the one that it is about first."""
    record = _object(body)
    sides = [record, record.get("challenger"), record.get("champion")]
    found = [side.get("release") for side in sides if isinstance(side, dict)]
    return [one for one in [*found, record.get("instead_of")] if isinstance(one, str) and one]


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _time(key: str, body: bytes) -> str:
    """When a record was made: what it says, or what its key does if it is damaged."""
    said = str(_object(body).get("time") or "")
    stamp = key.rpartition("/")[2]
    return said or f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"


def _changes(store: Store, product: str, within: Files) -> list[tuple[str, Any, dict[str, Any]]]:
    """Key, record and body of each change, the oldest first."""
    current = champion(store, product)
    records = {key: read_record(store, key) for key in within}
    keys = {id(one): key for key, one in records.items()}
    ordered = latest_first(records, current.record if current else "")[::-1]
    return [(keys[id(one)], one, _object(within[keys[id(one)]])) for one in ordered]


def _manifest(store: Store, product: str, release: str) -> Manifest | None:
    try:
        return read_manifest(store, product, release)
    except AwayError:
        raise
    except LineError:
        return None


def _named(store: Store, product: str, release: str) -> Named:
    """A release, and what is wrong with it in the store."""
    fault = ""
    try:
        check_whole(store, product, release)
    except AwayError:
        raise
    except LineError as error:
        fault = str(error)
    signed = store.get(folder_of(product, release) + SIGNATURE) is not None
    return Named(release, _manifest(store, product, release), signed, fault)


def _texts(store: Store, product: str, release: str) -> Iterable[tuple[str, bytes]]:
    """Files of a release that a person reads, as far as it has them."""
    for name in OF_RELEASE:
        if (content := store.get(folder_of(product, release) + name)) is not None:
            yield name, content


def _logged(log: Path | None, product: str, period: Period) -> list[Prediction]:
    if log is None:
        return []
    now = datetime.now(UTC) + timedelta(days=1)
    days = (now.date() - date(1970, 1, 1)).days
    return [one for one in read_log(log, product, days, now) if period.has(one.time)]


def _by_day(logged: list[Prediction]) -> dict[tuple[str, str], list[Prediction]]:
    """Predictions by day and release."""
    found: dict[tuple[str, str], list[Prediction]] = {}
    for one in logged:
        found.setdefault((one.time[:10], one.release or ""), []).append(one)
    return dict(sorted(found.items()))


def _drift(
    workspace: Workspace, store: Store, product: str, release: str, logged: list[Prediction]
) -> list[Finding]:
    """How what a release inspected in the period differs from what it was made from."""
    records = [one for one in logged if one.release == release]
    if not records:
        return []
    known = product in workspace.products
    limits = read_product(workspace.root, product).drift if known else Drift()
    folder = fetch(store, product, release, workspace.scratch / "releases")
    return drift(records, read_reference(folder), limits)


def _json(body: Any) -> bytes:
    return f"{json.dumps(body, indent=1, ensure_ascii=False, sort_keys=True)}\n".encode()


def write_archive(target: Path, files: Files) -> Path:
    """A ZIP of the files and of their SHA256SUMS, in the order of their names."""
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    files = files | {SUMS: "".join(sums).encode()}
    with file_beside(target) as part:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, EARLIEST)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(entry, files[name])
        part.replace(target)
    return target
