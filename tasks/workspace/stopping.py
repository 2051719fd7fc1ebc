"""Ask the run of a workspace to stop, as Ctrl-C once does: it keeps its checkpoints.

A number of a process may by now be that of another one. So the run writes into its lock when its
process began, and nothing is signalled that began at another time, or whose lock is free.
"""

import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.workspace import clock
from tasks.workspace.errors import WorkspaceError
from tasks.workspace.files import write_json
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
        with contextlib.suppress(OSError):  # to say who asked is less than to stop
            word = {"pid": pid, "began": since, "by": by, "time": clock.now()}
            write_json(_word(workspace), word)
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except PermissionError:
        raise WorkspaceError(
            f"the run is of another user (process {pid}); only that user can stop it"
        ) from None
    except ProcessLookupError:
        raise WorkspaceError(f"the run has ended just now (process {pid})") from None
    finally:
        os.close(process)


def stopped_by(workspace: Workspace) -> dict[str, Any] | None:
    """Who asked this process to stop, and when; None where nobody did so by name."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        word = json.loads(_word(workspace).read_text("utf-8"))
        if (word["pid"], word["began"]) == (os.getpid(), began(os.getpid())):
            return {"by": str(word["by"]), "time": str(word["time"])}
    return None


def _word(workspace: Workspace) -> Path:
    return workspace.scratch / "stop.json"
