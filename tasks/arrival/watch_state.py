"""What the watcher remembers of a product between two starts, however the first one ended."""

import json
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.arrival.watched import Listing
from tasks.workspace.files import write_json
from tasks.workspace.paths import Workspace


@dataclass
class WatchState:
    """taken: what was ingested from each source; due: whether the line has yet to run.

    `due` is set before anything is ingested and cleared after a run, so that a kill at any point
    costs at most a run that finds nothing to do.
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
