"""Changes of a product's files by a person, from the command line or the board.

During a change nobody else can change the workspace. The change applies only to the version that
the person saw. The store keeps a record of it beside the promotions: who, when, why, and the old
value.
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
from tasks.workspace.files import write_bytes
from tasks.workspace.git import origin
from tasks.workspace.lock import run_lock
from tasks.workspace.paths import Workspace

PATIENCE = 3.0  # seconds to wait for another manual change; a run takes longer
LONGEST = 500  # characters of a reason
Content = dict[str, Any]


def version_of(path: Path) -> str:
    """The sha256 of a file as its version; empty if there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def one_line(text: str, what: str) -> str:
    """A name or a reason in one line; LineError if it is blank or too long."""
    line = " ".join(text.split())
    if not line or len(line) > LONGEST:
        raise LineError(f"{what} must say something, in at most {LONGEST} characters")
    return line


@contextmanager
def locked_for_change(workspace: Workspace, path: Path, seen: str | None) -> Iterator[None]:
    """Lock the workspace; BusyError during a run, ChangedError if the file is not the `seen`
    version."""
    with run_lock(workspace, PATIENCE):
        if seen is not None and seen != version_of(path):
            raise ChangedError(
                f"{path.relative_to(workspace.root)} was changed by somebody else in the meantime; "
                "look at the new version, then try again"
            )
        yield


def edit_yaml(text: str, change: Callable[[Any], None]) -> str:
    """The YAML text after `change`; comments, order and quotes stay."""
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
    workspace: Workspace, product: str, kind: str, path: Path, content: str | bytes, body: Content
) -> Content:
    """Write a change; its record. The record is in the store before the file changes.

    No change without a record. If the file cannot be written, the record is deleted.
    """
    store = store_of(workspace)
    data = content.encode() if isinstance(content, str) else content
    body = {
        "product": product,
        **body,
        "file": path.relative_to(workspace.root).as_posix(),
        "before": version_of(path),
        "after": hashlib.sha256(data).hexdigest(),
        "origin": origin(workspace),
    }
    key = record(store, product, kind, body)
    try:
        write_bytes(path, data)
    except OSError:
        store.delete(key)
        raise
    return {**body, "record": key}
