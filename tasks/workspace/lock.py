"""One run at a time in a workspace."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from tasks.workspace.errors import BusyError, WorkspaceError
from tasks.workspace.files import SHARED_FOLDER
from tasks.workspace.git import operator
from tasks.workspace.paths import Workspace
from tasks.workspace.process import began

RUN, CHANGE, BATCH, SEARCH = "run", "change", "batch", "search"  # what holds a lock


def run_lock(
    workspace: Workspace, patience: float = 0.2, what: str = CHANGE
) -> AbstractContextManager[None]:
    """Hold the workspace; BusyError names the run that already holds it."""
    return lock(workspace.scratch / "run.lock", str(workspace.root), patience, what)


@contextmanager
def lock(path: Path, held: str, patience: float = 0.2, what: str = CHANGE) -> Iterator[None]:
    """Hold a file; BusyError says that `held` is in use, and by whom.

    The operating system releases the lock when its process ends, so no lock is left behind.
    patience: seconds to wait for it. what: holds it. A WorkspaceError tells what helps where
    another user made the file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+")
    except PermissionError as error:
        raise WorkspaceError(f"{path} cannot be written: {SHARED_FOLDER}") from error
    with opened as file:
        try:
            _lock(file, patience)
        except OSError:
            file.seek(0)
            raise BusyError(f"{held} is in use: {_holder(file.read())}") from None
        file.seek(0)
        file.truncate()
        json.dump(_about(what), file)
        file.flush()
        try:
            yield
        finally:  # the next one is not taken for this one until it says who it is
            file.truncate(0)


def _about(what: str) -> dict[str, Any]:
    since, pid = datetime.now().isoformat(timespec="seconds"), os.getpid()
    about = {"pid": pid, "host": socket.gethostname(), "since": since}
    return about | {"what": what, "began": began(pid), "by": operator()}


def in_use(workspace: Workspace) -> bool:
    """Whether somebody holds the workspace now."""
    return is_held(workspace.scratch / "run.lock")


def is_held(path: Path) -> bool:
    """Whether a process holds the lock on a file; it shares it for a moment (`_lock`)."""
    try:
        with path.open() as file:
            return not _share(file)
    except OSError:
        return False


def _lock(file: Any, patience: float) -> None:
    """Take the lock; OSError if another run holds it.

    `is_held` takes a shared lock for a moment. We wait for its end, also after `patience`.
    """
    import fcntl

    until = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= until:
                if not _share(file):
                    raise
                fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(0.02)


def _share(file: Any) -> bool:
    """Take a share of the lock if nobody holds it alone; whether that worked."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(text: str) -> str:
    try:
        who = json.loads(text)
    except json.JSONDecodeError:
        return "another run has just begun; wait for it"
    what = who.get("what", RUN)
    remedy = "wait, or `inspectline stop`" if what == RUN else "wait for it"
    return f"a {what} since {who['since']} on {who['host']}, process {who['pid']}; {remedy}"
