"""What a run does, stage by stage, in a file that any process may read at any moment.

`.inspectline/runs/<time>-<pid>.json` is written beside and renamed. During the run it holds a lock
of the operating system on the `.lock` next to it. The lock ends with the process, so a journal
without an end and without a lock is that of a killed run.
"""

import json
import os
import socket
import threading
import time
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from tasks.workspace import clock
from tasks.workspace.files import write_text
from tasks.workspace.git import operator
from tasks.workspace.lock import is_held
from tasks.workspace.paths import Workspace
from tasks.workspace.stopping import stopped_by

EVERY = 1.0  # seconds between two writes of progress; a begin and an end are written at once
MANY = 1000  # stages, above which not each begin and end is written at once: the file is large
SHARE = 20.0  # times as long as a write takes: the pause after one of so many stages
KEPT = 50  # journals of a workspace
KEYS = frozenset({"pid", "host", "began", "told", "ended", "slots", "stages"})
JsonObject = dict[str, Any]


class Journal(AbstractContextManager):
    """Use as a context, from any thread. If the disk is full, only the journal is not written."""

    def __init__(self, workspace: Workspace, names: list[str], slots: int = 1) -> None:
        """names: all that the run means to do, in order."""
        self.workspace, self.folder = workspace, workspace.scratch / "runs"
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        self.path = self.folder / f"{stamp}-{os.getpid()}.json"
        self.record: JsonObject = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "by": operator(),
            "began": now(),
            "told": now(),
            "ended": None,
            "slots": slots,
            "stages": {name: {"state": "waiting"} for name in names},
        }
        self._busy = threading.Lock()
        self._written = self._took = 0.0
        self._later: threading.Timer | None = None
        self._lock: Any = None

    def __enter__(self) -> "Journal":
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            forget(self.folder)
            self._lock = hold(self.path)
        self._write()
        return self

    def __exit__(self, *error: Any) -> None:
        with self._busy:
            self.record["ended"] = now()
            self.record["stopped"] = stopped_by(self.workspace)
            self._write()
        if self._lock:
            self._lock.close()
            self.path.with_suffix(".lock").unlink(missing_ok=True)

    def begin(self, name: str, device: str = "") -> None:
        self._set_stage(name, {"state": "working", "began": now(), "device": device})

    def tell(self, name: str, step: str, fraction: float, metrics: dict[str, float]) -> None:
        """part: when the fraction last began to rise; a stage may count several times to one."""
        with self._busy:
            stage = self.record["stages"][name]
            if "part" not in stage or fraction < stage["fraction"]:
                stage["part"] = now()
            stage |= {"step": step, "fraction": round(fraction, 4), "metrics": finite(metrics)}
            self._write_soon(EVERY)

    def _write_soon(self, pause: float) -> None:
        """Write unless that was done in the last `pause` seconds; then later."""
        if time.monotonic() - self._written >= pause:
            self._write()
        elif self._later is None:  # what comes last before a long silence must not be lost
            self._later = threading.Timer(pause, self._catch_up)
            self._later.daemon = True
            self._later.start()

    def _catch_up(self) -> None:
        with self._busy:
            if self._later is not None:
                self._write()

    def end(self, name: str, state: str, reason: str = "") -> None:
        """state: done, unchanged (it was up to date), stopped or failed, with the reason."""
        began = self.record["stages"].get(name, {}).get("began")
        why = {"reason": reason} if reason else {}
        self._set_stage(name, {"state": state, "began": began, "ended": now(), **why})

    def _set_stage(self, name: str, stage: JsonObject) -> None:
        with self._busy:
            self.record["stages"][name] = stage
            large = len(self.record["stages"]) > MANY
            self._write_soon(SHARE * self._took if large else 0.0)

    def _write(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self.record["told"] = now()
        self._written = time.monotonic()
        with suppress(OSError):
            write_text(self.path, json.dumps(self.record) + "\n")
        self._took = time.monotonic() - self._written


def journals(workspace: Workspace) -> list[JsonObject]:
    """The journals there are, newest first, each with `alive`: whether its run still goes on."""
    found = []
    for path in sorted((workspace.scratch / "runs").glob("*.json"), reverse=True):
        # one that is gone again, was cut by a full disk, or is no journal
        with suppress(OSError, ValueError, TypeError, LookupError, AttributeError):
            record = parsed(path, path.stat().st_mtime_ns)
            alive = record["ended"] is None and is_held(path.with_suffix(".lock"))
            found.append(record | {"alive": alive})
    return found


@lru_cache(maxsize=2 * KEPT)
def parsed(path: Path, written: int) -> JsonObject:
    """A journal as it was `written` (nanoseconds); most are over and never change again."""
    record = dict(json.loads(path.read_text()))
    if lacking := KEYS - set(record):
        raise ValueError(f"{path} lacks {lacking}")
    if not all("state" in stage for stage in record["stages"].values()):
        raise ValueError(f"{path} has a stage without a state")
    return record


def hold(path: Path) -> Any:
    """The open lock file of a journal; closing it lets go."""
    import fcntl

    file = path.with_suffix(".lock").open("w")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def forget(folder: Path) -> None:
    """Remove all journals but the newest."""
    for path in sorted(folder.glob("*.json"), reverse=True)[KEPT - 1 :]:
        path.unlink(missing_ok=True)
        path.with_suffix(".lock").unlink(missing_ok=True)


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Those that JSON can hold."""
    return {name: float(f"{value:.4g}") for name, value in metrics.items() if abs(value) < 1e300}


def now() -> str:
    return clock.now("milliseconds")
