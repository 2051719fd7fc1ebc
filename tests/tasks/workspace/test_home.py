"""Users without a name, a home, or a home that can be written."""

import getpass
import os
import stat
import tempfile
from pathlib import Path

import pytest

from tasks.workspace import home
from tasks.workspace.errors import MachineError


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """A machine with its own temporary folder, and an environment to be changed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "environ", {"HOME": str(tmp_path)})


def test_who_has_a_home_keeps_it(tmp_path, monkeypatch):
    home.settle_home()
    assert os.environ["HOME"] == str(tmp_path) and "PREFECT_HOME" not in os.environ
    assert home.cache_folder() == tmp_path / ".cache" / "inspectline"


def test_who_has_none_gets_one_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    home.settle_home()
    made = Path(os.environ["HOME"])
    assert made.parent == tmp_path and stat.S_IMODE(made.stat().st_mode) == 0o700


def test_a_home_that_cannot_be_written_is_left_to_what_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    os.environ["PREFECT_HOME"] = "/mine"
    home.settle_home()
    assert os.environ["HOME"] == str(tmp_path) and os.environ["PREFECT_HOME"] == "/mine"
    assert home.cache_folder().is_relative_to(tmp_path / f"inspectline-{os.getuid()}")


def test_a_user_who_is_a_number_has_a_name(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: {}["no such uid"])
    home.settle_home()
    assert os.environ["LOGNAME"] == f"uid-{os.getuid()}"


def test_a_folder_of_somebody_else_is_not_taken(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / f"inspectline-{os.getuid()}").symlink_to(tmp_path / "other")
    with pytest.raises(MachineError, match="not yours"):
        home.temporary_home()
