"""Checkpoints of fits in the DVC remote, so that another machine can continue a lost fit.

They are stored beside DVC's own objects, as
inspectline/<workspace>/<product>/<algorithm>.<identity>.ckpt. The fit decides whether a checkpoint
belongs to it: its identity is in the name and in the file.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tasks.build.records import Cells, Stage
from tasks.workspace.paths import SHARED, Workspace


class Checkpoints:
    """Checkpoints of fits, on this machine and in the remote."""

    def __init__(self, cells: Cells, name: str) -> None:
        """name: of the workspace; other workspaces may share the remote."""
        remote = cells.repo.cloud.get_remote(None, "push")
        self.workspace: Workspace = cells.workspace
        self.fs: Any = remote.fs
        self.top = self.fs.join(remote.path, "inspectline", name)
        self._sent: dict[Path, int] = {}  # write time of each file that the remote has
        self._busy = threading.Lock()

    def fetch(self, stage: Stage) -> list[str]:
        """Download the checkpoints of this fit; their names. Usually there are none."""
        here = self._here(stage)
        brought = []
        for path in self._there(stage):
            target = here.parent / self.fs.name(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            self.fs.get_file(path, str(partial))
            partial.replace(target)
            self._sent[target] = target.stat().st_mtime_ns
            brought.append(target.name)
        return brought

    def send(self, stage: Stage) -> bool:
        """Upload newer checkpoints of this fit; whether there was one."""
        here = self._here(stage)
        sent = False
        with self._busy, suppress(FileNotFoundError):  # the fit has just ended
            for path in here.parent.glob(f"{here.stem}.*.ckpt"):
                written = path.stat().st_mtime_ns
                if self._sent.get(path) != written:
                    self.fs.put_file(str(path), self.fs.join(self.top, here.parent.name, path.name))
                    self._sent[path] = written
                    sent = True
        return sent

    def forget(self, stage: Stage) -> None:
        """Remove the checkpoints of a fit that has ended."""
        with self._busy:
            for path in self._there(stage):
                self.fs.remove(path)

    def _here(self, stage: Stage) -> Path:
        return self.workspace.checkpoint(stage.product or SHARED, stage.algorithm)

    def _there(self, stage: Stage) -> list[str]:
        folder = self.fs.join(self.top, stage.product or SHARED)
        self.fs.fs.invalidate_cache()  # its listings may be older than new files
        if not self.fs.exists(folder):
            return []
        names = [self.fs.name(path) for path in self.fs.find(folder)]
        mine = [name for name in names if name.startswith(f"{stage.algorithm}.")]
        return [self.fs.join(folder, name) for name in mine if name.endswith(".ckpt")]
