"""A process that is killed while DVC writes leaves nothing that stops the next command."""

import fcntl
import subprocess
import sys

import pytest

from tasks.build.dvc_files import mend_table
from tasks.build.records import version
from tasks.init import init
from tasks.workspace.errors import WorkspaceError
from tasks.workspace.paths import Workspace

KILLED = """
import os, sys
from pathlib import Path
from dvc.utils.serialize import _yaml
from tasks.build.records import version
from tasks.workspace.paths import Workspace

def half(data, stream):
    stream.write("outs:\\n- md5: 1234")
    stream.flush()
    os._exit(9)

_yaml._dump = half
version(Workspace(Path(sys.argv[1])), Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """A workspace with one folder under DVC."""
    root = tmp_path_factory.mktemp("line")
    init(root)
    made = Workspace(root)
    folder = made.images("cap")
    folder.mkdir(parents=True)
    (folder / "0.png").write_bytes(b"0")
    version(made, folder)
    return made


def test_what_dvc_writes_is_whole_or_as_before(line):
    record = line.product("cap") / "images.dvc"
    before = record.read_text()
    (line.images("cap") / "1.png").write_bytes(b"1")
    command = [sys.executable, "-c", KILLED, str(line.root), str(line.images("cap"))]
    assert subprocess.run(command, check=False).returncode == 9
    assert record.read_text() == before
    version(line, line.images("cap"))
    assert "nfiles: 2" in record.read_text()


@pytest.mark.parametrize("left", ["", "{", '{"write": {"/a": {"pid"', "\x00\x00", "[]"])
def test_a_table_that_nobody_can_read_is_removed(line, left):
    table = line.root / ".dvc" / "tmp" / "rwlock"
    table.write_text(left)
    version(line, line.images("cap"))
    assert table.read_text().startswith("{")


def test_a_whole_table_and_one_that_is_being_written_stay(tmp_path):
    table, guard = tmp_path / "rwlock", tmp_path / "rwlock.lock"
    mend_table(tmp_path)
    assert not list(tmp_path.iterdir())
    table.write_text('{"read": {}}')
    mend_table(tmp_path)
    assert table.read_text() == '{"read": {}}'
    table.write_text("")
    with guard.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        mend_table(tmp_path)
        assert table.exists()
    mend_table(tmp_path)
    assert not table.exists()


def test_a_table_of_another_shape_is_told(line):
    """It is no half of a table, so it is left to a person."""
    table = line.root / ".dvc" / "tmp" / "rwlock"
    table.write_text('{"write": 3}')
    with pytest.raises(WorkspaceError, match="rwlock"):
        version(line, line.images("cap"))
    table.unlink()
