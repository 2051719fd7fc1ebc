"""DVC's own files stay readable, whenever a process is killed.

DVC writes in place: `dvc.lock`, `images.dvc`, and at every step the table of who reads or writes
which path (`.dvc/tmp/rwlock`). A process that is killed meanwhile leaves half a file or an empty
one, and every later command of DVC fails at it.
"""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.workspace.aws import checksums_when_required
from tasks.workspace.files import write_text
from tasks.workspace.paths import Workspace


def open_repo(workspace: Workspace) -> Any:
    """DVC's `Repo` of a workspace, after what a killed process left is out of its way."""
    from dvc.repo import Repo

    write_whole()
    mend_table(workspace.root / ".dvc" / "tmp")
    checksums_when_required()
    return Repo(str(workspace.root))


def write_whole() -> None:
    """Let DVC, in this process, write its YAML files as we write ours: whole or not at all."""
    from dvc.utils.serialize import _common, _yaml

    for module in (_common, _yaml):
        module._dump_data = _dump


def _dump(path: Any, data: Any, dumper: Callable[..., Any], fs: Any = None, **options: Any) -> None:
    text = io.StringIO()
    dumper(data, text, **options)
    write_text(Path(path), text.getvalue())


def mend_table(folder: Path) -> None:
    """Remove a table that cannot be read. Nobody writes it meanwhile: its own lock is held, which
    ends with its process."""
    from dvc.lock import LockError, make_lock

    path = folder / "rwlock"
    if _readable(path):
        return
    try:
        with make_lock(str(folder / "rwlock.lock"), tmp_dir=str(folder)):
            if not _readable(path):
                path.unlink()
    except LockError:  # another process holds it and is writing
        return


def _readable(path: Path) -> bool:
    """Whether a table is there and whole, or not there at all."""
    try:
        return isinstance(json.loads(path.read_text(encoding="utf-8")), dict)
    except FileNotFoundError:
        return True
    except ValueError:  # half of it, or nothing
        return False
