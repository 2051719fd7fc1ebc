"""What git says of a workspace, and how it is called."""

import getpass
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

from tasks.workspace.errors import LineError, StoreError, WorkspaceError
from tasks.workspace.paths import Workspace

VERSIONED = ("params.yaml", "dvc.yaml", "dvc.lock", "data")


def origin(workspace: Workspace) -> dict[str, Any]:
    """The machine, and the workspace's git commit (None before the first) with what differs
    from it (None where git refuses to tell, and then `git` says why)."""
    return {
        **_state(workspace.root),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _state(root: Path) -> dict[str, Any]:
    try:
        edited = [line[3:] for line in git(root, "status", "--porcelain").splitlines()]
    except LineError as error:  # no repository, or one of another owner
        return {"commit": None, "edited": None, "git": " ".join(str(error).split())}
    return {"commit": said(root, "rev-parse", "--verify", "--quiet", "HEAD"), "edited": edited}


def uncommitted(workspace: Workspace) -> list[str]:
    """Files that git would commit, of those that say how models were made; empty where git does
    not tell."""
    where = [name for name in VERSIONED if (workspace.root / name).exists()]
    changed = said(workspace.root, "status", "--porcelain", "--untracked-files=all", "--", *where)
    return [line[3:] for line in (changed or "").splitlines()]


BY = "INSPECTLINE_BY"


def operator() -> str:
    """Who gives a command: whom INSPECTLINE_BY names, or the user of the operating system; in a
    container that one may have a number only."""
    if given := " ".join(os.environ.get(BY, "").split()):
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no entry in the list of users
        return f"uid {os.getuid()}"


def said(root: Path, *arguments: str) -> str | None:
    """What git answers; None where it refuses or is not there."""
    try:
        return git(root, *arguments)
    except LineError:
        return None


PATIENCE = 120.0  # seconds for one command of git


def git(root: Path, *arguments: str, **variables: str) -> str:
    """What git answers; WorkspaceError where it refuses."""
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"} | variables
    try:
        ended = subprocess.run(
            ["git", "-C", str(root), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise StoreError(f"git {arguments[0]} in {root}: no answer in {PATIENCE:g} s") from None
    except FileNotFoundError:
        raise WorkspaceError("git is not installed; install it and run again") from None
    if ended.returncode:
        raise WorkspaceError(f"git {arguments[0]} failed in {root}: {ended.stderr.strip()}")
    return ended.stdout.rstrip()
