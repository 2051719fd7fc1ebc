"""A command in a process of its own, which ends with nobody but itself."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import IO

from tasks.workspace.git import BY
from tasks.workspace.paths import Workspace

TOKEN = "INSPECTLINE_TOKEN"  # of a service; no command needs it


def start_apart(
    workspace: Workspace, words: Sequence[str], log: IO[bytes] | None = None, by: str = ""
) -> "subprocess.Popen[bytes]":
    """Start a command of the line in a session of its own: no Ctrl-C reaches it, and it outlives
    who started it. log: takes its output; by: who gives it, in records."""
    command = [sys.executable, "-m", "flows.cli", "-w", str(workspace.root), *words]
    environment = {name: value for name, value in os.environ.items() if name != TOKEN}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT if log else None,
        env=environment | {BY: by} if by else environment,
        start_new_session=True,
    )
