"""Scratch folders of a workspace: each is gone once its process has ended, in whatever way."""

import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.workspace.files import LEFT_BEHIND
from tasks.workspace.lock import is_held
from tasks.workspace.paths import Workspace

LOCK = ".lock"  # in a scratch folder, held by its process


@contextmanager
def scratch_folder(workspace: Workspace) -> Iterator[Path]:
    """An empty folder on the workspace's disk, for this block alone. What killed processes left is
    removed."""
    import fcntl

    workspace.scratch.mkdir(exist_ok=True)
    sweep_scratch(workspace)
    name = uuid.uuid4().hex[:12]
    begun, folder = workspace.scratch / f".tmp-{name}", workspace.scratch / f"tmp-{name}"
    begun.mkdir()
    with (begun / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        begun.rename(folder)  # only now, or somebody who sweeps would take it for one that was left
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def sweep_scratch(workspace: Workspace) -> None:
    """Remove scratch folders whose process is gone, and those of version 0.1 after a day."""
    for left in workspace.scratch.glob("tmp-*"):
        if not is_held(left / LOCK):
            shutil.rmtree(left, ignore_errors=True)
    for pattern in (".tmp-*", "tmp????????"):
        for left in workspace.scratch.glob(pattern):
            with suppress(OSError):
                if left.is_dir() and time.time() - _latest(left) > LEFT_BEHIND:
                    shutil.rmtree(left, ignore_errors=True)


def _latest(folder: Path) -> float:
    """When something in the folder was last written, seconds since 1970."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
