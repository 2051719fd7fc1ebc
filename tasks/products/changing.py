"""Files of a product that a person changes from the command line or the board.

Whoever changes one is alone in the workspace, changes what he has seen and nothing else, and
leaves a record in the store beside the promotions: who, when, why, what stood there before.
"""

import hashlib
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tasks.store.champion import record
from tasks.store.opening import store_of
from tasks.workspace.errors import ChangedError, LineError, SpecError
from tasks.workspace.files import write_text
from tasks.workspace.git import origin
from tasks.workspace.lock import run_lock
from tasks.workspace.paths import Workspace

PATIENCE = 3.0  # seconds to wait for another change by hand; a run takes longer
LONGEST = 500  # characters of a reason
Content = dict[str, Any]


def version_of(path: Path) -> str:
    """What tells one state of a file from another; empty where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def one_line(text: str, what: str) -> str:
    """A name or a reason in one line; LineError where it is blank or a novel."""
    line = " ".join(text.split())
    if not line or len(line) > LONGEST:
        raise LineError(f"{what} must say something, in at most {LONGEST} characters")
    return line


@contextmanager
def locked_for_change(workspace: Workspace, path: Path, seen: str | None) -> Iterator[None]:
    """Nobody else changes the workspace; BusyError while a run goes on, ChangedError where the
    file is another than the `seen` version."""
    with run_lock(workspace, PATIENCE):
        if seen is not None and seen != version_of(path):
            raise ChangedError(
                f"{path.relative_to(workspace.root)} was changed by somebody else meanwhile; look "
                "at it as it is now, then try again"
            )
        yield


def edit_yaml(text: str, change: Callable[[Any], None]) -> str:
    """YAML after `change` of its mapping, with its comments, order and quotes as they were."""
    from ruamel.yaml import YAML, CommentedMap

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    nested, listed = re.search(r"^( +)\w", text, re.M), re.search(r"^( *)- ", text, re.M)
    offset = len(listed[1]) if listed else 0
    editor.indent(len(nested[1]) if nested else 2, offset + 2, offset)
    content = editor.load(text)
    head = "" if content is not None else text.rstrip() + "\n" * bool(text.strip())
    content = CommentedMap() if content is None else content
    change(content)
    out = io.StringIO()
    editor.dump(content, out)
    return head + out.getvalue()


def edit_yaml_exactly(
    text: str, expected: Content, change: Callable[[Any], None], path: Path
) -> str:
    """Like `edit_yaml`; SpecError unless the result holds exactly what is expected."""
    after = edit_yaml(text, change)
    if yaml.safe_load(after) != expected:
        raise SpecError(f"{path} cannot be rewritten without changing more; edit it by hand")
    return after


def write_change(
    workspace: Workspace, product: str, kind: str, path: Path, text: str, body: Content
) -> Content:
    """The record of a change, which is in the store before the file is.

    No change without a record; where the file cannot be written the record is taken back.
    """
    store = store_of(workspace)
    body = {
        "product": product,
        **body,
        "file": path.relative_to(workspace.root).as_posix(),
        "before": version_of(path),
        "after": hashlib.sha256(text.encode()).hexdigest(),
        "origin": origin(workspace),
    }
    key = record(store, product, kind, body)
    try:
        write_text(path, text)
    except OSError:
        store.delete(key)
        raise
    return {**body, "record": key}
