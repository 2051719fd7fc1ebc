"""The drift of a product: compare its log with its champion."""

from datetime import UTC, datetime
from pathlib import Path

from tasks.monitoring.findings import Finding, drift, read_reference
from tasks.monitoring.log import read_log
from tasks.spec.read import read_product
from tasks.spec.schema import Drift
from tasks.store.opening import locate, release_of
from tasks.workspace.errors import DataError
from tasks.workspace.paths import find


def find_drift(
    workspace: Path | None, product: str, log: Path, days: int | None = None
) -> list[Finding]:
    """Findings on the images that the present champion inspected in the last days."""
    folder = locate(workspace, product)
    manifest = release_of(folder)
    name = manifest.product if manifest else product
    limits = Drift() if "/" in product else read_product(find(workspace).root, product).drift
    span = days or limits.days
    if not (log / name).is_dir():
        raise DataError(f"{log / name}: no log; `predict` and `serve` write one with --log {log}")
    records = [
        record
        for record in read_log(log, name, span, datetime.now(UTC))
        if record.release == (manifest.release if manifest else None)
    ]
    return drift(records, read_reference(folder), limits)
