"""Results that a receiver refused for good: shown, sent once more, or dropped.

Any process may do so while another one sends from the same file.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.sinks.outbox import WAITS, from_raw, shape, told
from tasks.workspace.errors import DataError

REFUSED = "sent IS NULL AND refused IS NOT NULL"


@dataclass(frozen=True)
class Refused:
    """A result that a sink refused, and why."""

    sink: str
    body: dict[str, Any]
    why: str


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database of an outbox; what is changed inside is on disk afterwards."""
    if not path.is_file():
        raise DataError(f"{path}: no such outbox; `serve` and `inspect` make it with their sinks")
    with told(path):
        base = sqlite3.connect(path)
        try:
            base.text_factory = from_raw
            with base:
                shape(base)
                yield base
        finally:
            base.close()


def counts(path: Path) -> dict[str, tuple[int, int]]:
    """How many results wait for each sink, and how many it refused."""
    ask = f"SELECT sink, TOTAL({WAITS}), TOTAL({REFUSED}) FROM messages GROUP BY sink ORDER BY sink"
    with opened(path) as base:
        return {sink: (int(waits), int(refused)) for sink, waits, refused in base.execute(ask)}


def refused(path: Path, sink: str | None = None) -> list[Refused]:
    """The results that were refused, of one sink or of all, the oldest first."""
    ask = f"SELECT sink, body, refused FROM messages WHERE {REFUSED} AND sink = IFNULL(?, sink)"
    with opened(path) as base:
        found = base.execute(f"{ask} ORDER BY id", [sink]).fetchall()
    return [Refused(sink, json.loads(body), why) for sink, body, why in found]


def retry(path: Path, sink: str | None = None) -> int:
    """Have them sent once more; how many."""
    change = f"UPDATE messages SET refused = NULL WHERE {REFUSED} AND sink = IFNULL(?, sink)"
    with opened(path) as base:
        return base.execute(change, [sink]).rowcount


def drop(path: Path, sink: str | None = None) -> list[Refused]:
    """Take them out of the outbox; what they were."""
    away = f"DELETE FROM messages WHERE {REFUSED} AND sink = IFNULL(?, sink)"
    with opened(path) as base:
        gone = base.execute(f"{away} RETURNING sink, body, refused", [sink]).fetchall()
    return [Refused(sink, json.loads(body), why) for sink, body, why in gone]
