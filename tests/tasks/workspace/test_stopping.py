"""`inspectline stop` reaches the run of its workspace, and no other process."""

import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from tasks.workspace import stopping
from tasks.workspace.errors import WorkspaceError
from tasks.workspace.journal import journals
from tasks.workspace.lock import RUN, run_lock
from tasks.workspace.paths import Workspace
from tasks.workspace.process import began
from tasks.workspace.stopping import ask_to_stop, holder, stop_run
from tests.tasks.held import held


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def rewrite(workspace, **about):
    """Let the lock say something else of who holds it."""
    path = workspace.scratch / "run.lock"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))


def test_a_run_is_asked_to_stop_and_notes_by_whom(workspace):
    with held(workspace, env=os.environ | {"INSPECTLINE_BY": "otto"}) as process:
        found = holder(workspace)
        assert (found.pid, found.what, found.by) == (process.pid, RUN, "otto")
        assert stop_run(workspace, "anna", seen=process.pid) == found
        assert process.wait(30) == 0
    [record] = journals(workspace)
    assert record["by"] == "otto" and record["stopped"]["by"] == "anna"
    assert holder(workspace) is None
    with pytest.raises(WorkspaceError, match="no run is in progress"):
        stop_run(workspace, "anna")


def test_nobody_ends_at_once_what_another_has_asked_to_stop(workspace, monkeypatch):
    """A second SIGTERM would be Ctrl-C twice, which keeps no checkpoint."""
    sent = []
    monkeypatch.setattr(stopping.signal, "pidfd_send_signal", lambda *about: sent.append(about))
    with held(workspace):
        stop_run(workspace, "anna")
        with pytest.raises(WorkspaceError, match="anna has asked the run to stop already"):
            stop_run(workspace, "otto")
    assert len(sent) == 1
    with held(workspace):  # another run may be asked again
        stop_run(workspace, "otto")
    assert len(sent) == 2 and len(list(workspace.scratch.glob("stop-*"))) == 1


def test_what_is_no_run_is_left_alone(workspace):
    with run_lock(workspace), pytest.raises(WorkspaceError, match="no run is in progress"):
        stop_run(workspace, "anna")
    assert (workspace.scratch / "run.lock").read_text() == ""  # the next one is not taken for it


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"host": "elsewhere"}, "on another machine, elsewhere"),
        ({"began": 7}, "is not the run any more"),
        ({"began": 0}, "is not the run any more"),
        ({"pid": 2**22 + 1}, "has ended just now"),
    ],
)
def test_a_process_that_may_be_another_is_not_signalled(workspace, about, words):
    with held(workspace) as process:
        rewrite(workspace, **about)
        with pytest.raises(WorkspaceError, match=words):
            stop_run(workspace, "anna")
        assert process.poll() is None


def test_another_run_than_the_one_that_was_seen_goes_on(workspace):
    with held(workspace) as process:
        with pytest.raises(WorkspaceError, match="that run has ended; now there is a run by"):
            stop_run(workspace, "anna", seen=process.pid + 1)
        assert process.poll() is None


def test_a_number_that_another_process_has_now_is_no_run(workspace):
    """As after a crash: the lock tells of a process that is gone, and its number is in use."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        about = {"pid": other.pid, "host": socket.gethostname(), "since": "", "what": RUN}
        about |= {"began": began(other.pid) - 1, "by": "otto"}
        with run_lock(workspace, what=RUN):
            (workspace.scratch / "run.lock").write_text(json.dumps(about))
            with pytest.raises(WorkspaceError, match="nothing was stopped"):
                stop_run(workspace, "anna")
        assert other.poll() is None
        other.kill()


def test_a_process_of_another_user_is_told(workspace, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(stopping.signal, "pidfd_send_signal", refuse)
    workspace.scratch.mkdir()
    with pytest.raises(WorkspaceError, match="only that user can stop it"):
        ask_to_stop(workspace, os.getpid(), began(os.getpid()), "anna")
    assert not list(workspace.scratch.iterdir())  # nobody was asked


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\xff"])
def test_a_lock_that_says_nothing_is_nobody_s(workspace, text):
    with run_lock(workspace):
        (workspace.scratch / "run.lock").write_text(text, "latin-1")
        assert holder(workspace) is None


def test_when_a_process_began_is_known_while_it_lives():
    mine = began(os.getpid())
    assert mine > 0 and mine == began(os.getpid())
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert began(process.pid) >= mine
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert began(process.pid) == 0  # it has ended, although nobody has taken notice of it
    process.wait()
    process.stdin.close()
