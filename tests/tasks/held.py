"""A process that holds a workspace as a run does, until it is asked to stop."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.workspace.paths import Workspace

ROOT = Path(__file__).parents[2]
CODE = """
import signal, sys, threading
from pathlib import Path
from tasks.workspace.journal import Journal
from tasks.workspace.lock import run_lock
from tasks.workspace.paths import Workspace
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
with run_lock(Workspace(Path(sys.argv[1])), what=sys.argv[2]):
    with Journal(Workspace(Path(sys.argv[1])), ["fit tile padim"]) as journal:
        journal.begin("fit tile padim", "cpu")
        print("it works", *sys.argv[3:], flush=True)
        asked.wait(60)
        journal.end("fit tile padim", "stopped", "stopped")
        print("stopped", flush=True)
"""


def hold(workspace: Workspace, *words: str, what: str = "run", **more: Any) -> Any:
    """Start it. words: what it says too; more: of `subprocess.Popen`."""
    command = [sys.executable, "-c", CODE, str(workspace.root), what, *words]
    return subprocess.Popen(command, cwd=ROOT, **more)


@contextmanager
def held(workspace: Workspace, what: str = "run", **more: Any) -> Iterator[Any]:
    """It holds the workspace inside."""
    with hold(workspace, what=what, stdout=subprocess.PIPE, **more) as process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()
