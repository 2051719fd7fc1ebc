"""The state of the watcher for one product. It is kept when the watcher stops for any reason."""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.arrival.watched import Listing
from tasks.workspace.files import write_json
from tasks.workspace.paths import Workspace


@dataclass
class WatchState:
    """taken: files ingested from each source; due: whether the line must still run.

    `due` is set before an ingest and cleared after a run. If the watcher is killed at any point,
    the worst result is one run that has nothing to do.
    """

    path: Path
    taken: dict[str, Listing] = field(default_factory=dict)
    due: bool = False

    @classmethod
    def read(cls, workspace: Workspace, product: str) -> "WatchState":
        path = workspace.scratch / "watch" / f"{product}.json"
        if not path.is_file():
            return cls(path)
        known = json.loads(path.read_text())
        taken = {
            source: {PurePosixPath(p): (size, stamp) for p, (size, stamp) in files.items()}
            for source, files in known["taken"].items()
        }
        return cls(path, taken, known["due"])

    def write(self) -> None:
        taken = {
            source: {str(p): list(stamp) for p, stamp in files.items()}
            for source, files in self.taken.items()
        }
        write_json(self.path, {"due": self.due, "taken": taken})
