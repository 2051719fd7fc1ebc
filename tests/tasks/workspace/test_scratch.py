"""Scratch folders go with their process, and locks say what helps."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tasks.build.graph import misnamed, sync
from tasks.workspace.errors import WorkspaceError
from tasks.workspace.files import disk, writing
from tasks.workspace.git import origin
from tasks.workspace.lock import run_lock
from tasks.workspace.names import usable
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder, sweep_scratch
from tests.tasks.workspaces import workspace

HOLDER = """
import sys, time
from pathlib import Path
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder
with scratch_folder(Workspace(Path(sys.argv[1]))) as folder:
    (folder / "release").mkdir()
    (folder / "release" / "model").write_bytes(bytes(1000))
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def made(tmp_path: Path) -> Workspace:
    return workspace(tmp_path / "ws")


def test_a_folder_ends_with_its_block(made):
    with pytest.raises(ZeroDivisionError), scratch_folder(made) as folder:
        (folder / "deep").mkdir()
        assert folder.parent == made.scratch
        raise ZeroDivisionError
    assert list(made.scratch.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(made):
    command = [sys.executable, "-c", HOLDER, str(made.root)]
    holders = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [Path(one.stdout.readline().strip()) for one in holders]
    holders[0].send_signal(signal.SIGKILL)
    holders[0].wait(60)
    with scratch_folder(made) as mine:
        assert sorted(made.scratch.iterdir()) == sorted([mine, folders[1]])
        assert (folders[1] / "release" / "model").exists()
    holders[1].kill()
    holders[1].wait(60)
    sweep_scratch(made)
    assert list(made.scratch.iterdir()) == []
    for one in holders:
        one.stdout.close()


def test_what_version_0_1_left_goes_after_a_day(made):
    for name in ("tmpabc_1234", "tmpdef_5678", "removed", "package"):
        (made.scratch / name).mkdir(parents=True)
    old = time.time() - 25 * 3600
    for name in ("tmpabc_1234", "removed", "package"):
        os.utime(made.scratch / name, (old, old))
    sweep_scratch(made)
    left = sorted(path.name for path in made.scratch.iterdir())
    assert left == ["package", "removed", "tmpdef_5678"]


def test_a_lock_of_another_user_says_what_helps(made, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "run.lock")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(WorkspaceError, match=r"run\.lock cannot.*umask 002"), run_lock(made):
        pass
    for context in (disk("'a file'"), writing(Path("a"))):
        with pytest.raises((OSError, ValueError), match="umask 002"), context:
            refuse()


@pytest.mark.parametrize(
    "name", ["a;touch X", "a b", "$(touch X)", "a&b", "a|b", "`x`", "a\nb", "-rf", "ü", "con"]
)
def test_a_folder_that_cannot_be_a_product_becomes_no_command(made, name):
    assert not usable(name)
    for product in (name, "tile"):
        made.product(product).mkdir(parents=True)
        (made.product(product) / "product.yaml").write_text("algorithms: [padim]\n")
    assert made.products == ["tile"]
    sync(made)
    assert "cannot name a product; rename it, for example to" in misnamed(made)[name]
    assert not (made.product(name) / "dvc.yaml").exists()
    assert (made.product("tile") / "dvc.yaml").is_file()
    stages = yaml.safe_load((made.root / "dvc.yaml").read_text())["stages"]
    assert stages["recipes"]["outs"] == [
        {"data/tile/recipe.yaml": {"cache": False, "persist": True}}
    ]


def test_what_git_refuses_to_tell_is_not_told_as_clean(made, monkeypatch):
    assert origin(made)["edited"] is None and "not a git repository" in origin(made)["git"]
    subprocess.run(["git", "init", "-q", made.root], check=True)
    assert origin(made)["edited"] == ["params.yaml"] and "git" not in origin(made)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    told = origin(made)
    assert told["edited"] is None and "dubious ownership" in told["git"]
