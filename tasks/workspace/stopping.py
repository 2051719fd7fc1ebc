"""Ask the run of a workspace to stop, as Ctrl-C once does: it keeps its checkpoints.

A number of a process may by now be that of another one. So the run writes into its lock when its
process began, and nothing is signalled that began at another time, or whose lock is free.
"""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.workspace import clock
from tasks.workspace.errors import WorkspaceError
from tasks.workspace.lock import RUN, in_use
from tasks.workspace.paths import Workspace
from tasks.workspace.process import began


@dataclass(frozen=True)
class Holder:
    """Who holds the workspace. what: a run, or a change by hand; began: of the process, in the
    system's own unit, 0 where it does not tell; since: local time."""

    pid: int
    host: str
    since: str
    what: str
    began: int
    by: str

    def __str__(self) -> str:
        return f"a {self.what} by {self.by} since {self.since} (process {self.pid} on {self.host})"


def holder(workspace: Workspace) -> Holder | None:
    """Who holds the workspace now; None where nobody does, or has only just begun to."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        about = json.loads((workspace.scratch / "run.lock").read_text("utf-8"))
        found = Holder(**about)
        return found if in_use(workspace) else None
    return None


def stop_run(workspace: Workspace, by: str, seen: int | None = None) -> Holder:
    """The run that was asked to stop; WorkspaceError where there is none, or it is out of reach.

    seen: the process that the caller means; another run is left alone.
    """
    found = holder(workspace)
    if found is None or found.what != RUN:
        raise WorkspaceError(f"no run is in progress in {workspace.root}")
    if found.host != socket.gethostname():
        raise WorkspaceError(
            f"the run is on another machine, {found.host}: give `inspectline stop` there"
        )
    if seen not in (None, found.pid):
        raise WorkspaceError(f"that run has ended; now there is {found}")
    ask_to_stop(workspace, found.pid, found.began, by)
    return found


def ask_to_stop(workspace: Workspace, pid: int, since: int, by: str) -> None:
    """Send SIGTERM to the process, if it is the one that began at `since`; leave word who asked."""
    try:
        process = os.pidfd_open(pid)  # from here on the number cannot become another process's
    except ProcessLookupError:
        raise WorkspaceError(f"the run has ended just now (process {pid})") from None
    except (AttributeError, OSError) as error:
        raise WorkspaceError(
            f"this system does not tell whether process {pid} is the run ({error}); "
            f"if it is, `kill {pid}` stops it"
        ) from None
    try:
        if not since or began(pid) != since:
            raise WorkspaceError(f"process {pid} is not the run any more; nothing was stopped")
        with _once(workspace, pid, since, by):
            signal.pidfd_send_signal(process, signal.SIGTERM)
    except PermissionError:
        raise WorkspaceError(
            f"the run is of another user (process {pid}); only that user can stop it"
        ) from None
    except ProcessLookupError:
        raise WorkspaceError(f"the run has ended just now (process {pid})") from None
    finally:
        os.close(process)


@contextlib.contextmanager
def _once(workspace: Workspace, pid: int, since: int, by: str) -> Iterator[None]:
    """Leave word of who asks a process to stop. WorkspaceError where somebody has done so before: a
    second signal would end it at once, without its checkpoints."""
    path = _word(workspace, pid, since)
    for old in workspace.scratch.glob("stop-*.json"):
        if old != path:
            old.unlink(missing_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump({"by": by, "time": clock.now()}, file)
    except FileExistsError:
        who = _read(path).get("by", "somebody")
        raise WorkspaceError(
            f"{who} has asked the run to stop already, and it will once its stages have come to "
            f"the end of a batch; `kill {pid}` ends it at once, without their checkpoints"
        ) from None
    try:
        yield
    except OSError:
        path.unlink(missing_ok=True)
        raise


def stopped_by(workspace: Workspace) -> dict[str, str] | None:
    """Who asked this process to stop (by) and when (time); None where nobody did so by name."""
    pid = os.getpid()
    return _read(_word(workspace, pid, began(pid))) or None


def _read(word: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        found = json.loads(word.read_text("utf-8"))
        return {"by": str(found["by"]), "time": str(found["time"])}
    return {}


def _word(workspace: Workspace, pid: int, since: int) -> Path:
    return workspace.scratch / f"stop-{pid}-{since}.json"
