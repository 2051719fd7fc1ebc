"""Results that wait to be sent, in a file of SQLite: they outlive a kill, a power cut and a broker
that is away.

What is added is on disk when `add` returns. An entry stays after it was sent, so that the same
inspection is not sent again when it comes again. One that its receiver refused for good stays too,
with the reason, and nothing waits behind it: `refused.py` shows such entries.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tasks.workspace.errors import BusyError, LineError, MachineError
from tasks.workspace.files import writing

KEPT = 7 * 86400.0  # seconds that what was sent is remembered
TIDY = 3600.0  # seconds between looks for what need not be remembered any more
RAW = "CAST(? AS TEXT)"  # of bytes that `raw` made
FORM = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, sink TEXT NOT NULL, key TEXT NOT NULL, body TEXT NOT NULL,
    sent REAL, refused TEXT, UNIQUE (sink, key)
);
CREATE TABLE IF NOT EXISTS taken (
    source TEXT NOT NULL, path TEXT NOT NULL, stamp TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (source, path)
);
"""
WAITS = "sent IS NULL AND refused IS NULL"
INDEX = f"CREATE INDEX IF NOT EXISTS waiting ON messages (sink, id) WHERE {WAITS}"


@dataclass(frozen=True)
class Message:
    """One result for one sink."""

    id: int
    key: str  # the same for the same inspection
    body: dict[str, Any]


class RefusedError(LineError):
    """A message that its receiver will never take, and those before it that it took."""

    def __init__(self, why: str, message: Message, done: list[Message]) -> None:
        super().__init__(why)
        self.message, self.done = message, done


@dataclass(frozen=True)
class Taken:
    """The file of a source that a result is of."""

    source: str
    path: str
    stamp: str  # its size and time: another one is another file


def shape(base: sqlite3.Connection) -> None:
    """Make the tables, or give those of an earlier version what they lack."""
    base.executescript(FORM)
    if "refused" not in [row[1] for row in base.execute("PRAGMA table_info(messages)")]:
        base.execute("ALTER TABLE messages ADD COLUMN refused TEXT")
    base.execute("DROP INDEX IF EXISTS unsent")  # of an earlier version
    base.execute(INDEX)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn an error of SQLite into a MachineError with the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        raise MachineError(f"{path} cannot be used: {error}; make room, or move it away") from error


def raw(text: str) -> bytes:
    """The bytes of a path, whose names need not be UTF-8."""
    return text.encode(errors="surrogateescape")


def from_raw(content: bytes) -> str:
    """What `raw` made bytes of."""
    return content.decode(errors="surrogateescape")


class Outbox:
    """Safe from any thread; one process holds a file at a time."""

    def __init__(self, path: Path) -> None:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = path.with_name(f".{path.name}.lock")
            self._lock = FileLock(lock, thread_local=False)  # any thread may close
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                raise BusyError(
                    f"{path} is in use by another process; stop it, or give another --outbox"
                ) from None
        self.path = path
        self._turn = threading.Lock()
        try:
            with told(path):
                self._open()
        except MachineError:
            self._lock.release()
            raise

    def _open(self) -> None:
        self._base = sqlite3.connect(self.path, check_same_thread=False)
        self._base.text_factory = from_raw
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        shape(self._base)
        with self._turn, self._base as base:
            self._tidy(base)

    def _tidy(self, base: sqlite3.Connection) -> None:
        """Drop what was sent long ago: a service may run for years."""
        base.execute("DELETE FROM messages WHERE sent < ?", [time.time() - KEPT])
        self._next_tidy = time.monotonic() + TIDY

    def close(self) -> None:
        with self._turn:
            self._base.close()
        self._lock.release()

    def add(
        self, key: str, body: dict[str, Any], sinks: Iterable[str], taken: Taken | None = None
    ) -> None:
        """Put a result in for each sink and, in the same stroke, note the file that it is of.

        key: of an inspection that was added before: nothing is added for the same sink.
        """
        text = json.dumps(body, allow_nan=False)
        with self._turn, told(self.path), self._base as base:
            put = "INSERT OR IGNORE INTO messages (sink, key, body) VALUES (?, ?, ?)"
            base.executemany(put, [(sink, key, text) for sink in sinks])
            if taken:
                note = f"INSERT OR REPLACE INTO taken VALUES ({RAW}, {RAW}, ?, ?)"
                names = raw(taken.source), raw(taken.path)
                base.execute(note, [*names, taken.stamp, time.time()])

    def waiting(self, sink: str, most: int) -> list[Message]:
        """The oldest results that the sink has not acknowledged."""
        ask = f"SELECT id, key, body FROM messages WHERE sink = ? AND {WAITS} ORDER BY id"
        with self._turn, closing(self._base.execute(f"{ask} LIMIT ?", [sink, most])) as rows:
            return [Message(id, key, json.loads(body)) for id, key, body in rows]

    def done(self, messages: Sequence[Message]) -> None:
        """They are acknowledged, and are not sent again."""
        with self._turn, self._base as base:
            rows = [(time.time(), one.id) for one in messages]
            base.executemany("UPDATE messages SET sent = ? WHERE id = ?", rows)
            if time.monotonic() >= self._next_tidy:
                self._tidy(base)

    def refuse(self, message: Message, why: str) -> None:
        """Its receiver will not take it, however often it is asked."""
        with self._turn, self._base as base:
            base.execute("UPDATE messages SET refused = ? WHERE id = ?", [why, message.id])

    def counts(self, which: str = WAITS) -> dict[str, int]:
        """How many wait for each sink, those that are no longer configured too; which: or others,
        as a condition of SQL."""
        ask = f"SELECT sink, COUNT(*) FROM messages WHERE {which} GROUP BY sink"
        with self._turn, closing(self._base.execute(ask)) as rows:
            return dict(rows.fetchall())

    def taken(self, source: str) -> dict[str, str]:
        """Path and stamp of each file of a source of which there is a result."""
        ask = f"SELECT path, stamp FROM taken WHERE source = {RAW}"
        with self._turn, closing(self._base.execute(ask, [raw(source)])) as rows:
            return dict(rows.fetchall())

    def forget(self, source: str, present: Iterable[str]) -> None:
        """Drop what was long ago taken of a source and is gone from there."""
        there = set(present)
        with self._turn, self._base as base, suppress(sqlite3.Error):
            ask = f"SELECT path FROM taken WHERE source = {RAW} AND time < ?"
            old = base.execute(ask, [raw(source), time.time() - KEPT]).fetchall()
            gone = [(raw(source), raw(path)) for (path,) in old if path not in there]
            base.executemany(f"DELETE FROM taken WHERE source = {RAW} AND path = {RAW}", gone)
