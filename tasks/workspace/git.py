"""What git says of a workspace, and how it is called."""

import getpass
import os
import platform
import socket
import subprocess
from pathlib import Path
from typing import Any

from tasks.workspace.errors import StoreError, WorkspaceError
from tasks.workspace.paths import Workspace


def origin(workspace: Workspace) -> dict[str, Any]:
    """The machine, and the workspace's git commit (None before the first) with what differs
    from it."""
    edited = (_git(workspace.root, "status", "--porcelain") or "").splitlines()
    return {
        "commit": _git(workspace.root, "rev-parse", "--verify", "--quiet", "HEAD"),
        "edited": [line[3:] for line in edited],
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def operator() -> str:
    """Who gives a command."""
    return getpass.getuser()


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.rstrip() if ended.returncode == 0 else None


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
    return ended.stdout.strip()
