"""Fits that are killed or interrupted go on from their checkpoint and end where others end."""

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from flows.run import run_line
from flows.running import runner, stages, stop
from tests.flows.conftest import edit, write_params

PATIENCE = 300.0  # seconds, on a machine that has much else to do


@pytest.fixture
def steps(monkeypatch):
    """Every progress note of the runs in this test: [(cell, stage)]."""
    seen = []
    update = runner.Terminal.update

    def listen(self, name, stage, *rest):
        seen.append((name, stage))
        return update(self, name, stage, *rest)

    monkeypatch.setattr(runner.Terminal, "update", listen)
    return seen


@pytest.fixture
def workspace(make, trained, tmp_path):
    """The product cap with the one cell that has epochs; the trained workspace has it unbroken."""
    made = make(tmp_path / "ws", "cap")
    edit(made, "cap", algorithms=["fastflow"])
    return made


def model(workspace):
    return (workspace.model("cap", "fastflow") / "model.safetensors").read_bytes()


def checkpoint(workspace):
    return list(workspace.scratch.glob("checkpoints/cap/*.ckpt"))


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def first_epoch(steps):
    """The first epoch of which a fit told: `learn 3/10` is 3."""
    return next(int(s.split()[1].split("/")[0]) for _, s in steps if s.startswith("learn"))


def test_a_killed_fit_is_tried_again_from_its_checkpoint(workspace, trained, steps, capfd):
    before_kill = []

    def kill():
        wait_for(lambda: checkpoint(workspace))
        before_kill.extend(steps)
        steps.clear()
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    assert run_line(workspace, [], None)
    killer.join()
    assert before_kill and first_epoch(steps) > 1
    assert model(workspace) == model(trained)
    assert not checkpoint(workspace)
    assert "Traceback" not in capfd.readouterr().err


def test_a_cell_that_always_dies_leaves_the_others(workspace, capfd, monkeypatch):
    edit(workspace, "cap", algorithms=["padim", "fastflow"])
    write_params(workspace.root, line={"device": "cpu", "retries": 1})
    over, killed = threading.Event(), set()
    running = []
    run_step = stages.run_step

    def listen(workspace, stage, *rest):
        running[:] = [stage.step, *stage.arguments]
        return run_step(workspace, stage, *rest)

    monkeypatch.setattr(stages, "run_step", listen)

    def kill():
        while not over.is_set():
            if running == ["fit", "cap", "fastflow"]:
                for child in multiprocessing.active_children():
                    killed.add(child.pid)
                    child.kill()
            time.sleep(0.1)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert not run_line(workspace, [], None)
    finally:
        over.set()
        killer.join()
    told = capfd.readouterr()
    assert len(killed) >= 2
    assert "failed: fit cap fastflow: " in told.err
    assert "was killed (signal 9)" in told.err and "Traceback" not in told.err
    assert "cap: padim is champion" in told.out


def own_home(folder):
    """A home of Prefect whose database is made already: to make one takes ten seconds."""
    folder.mkdir()
    with (
        contextlib.closing(sqlite3.connect(Path(os.environ["PREFECT_HOME"]) / "prefect.db")) as of,
        contextlib.closing(sqlite3.connect(folder / "prefect.db")) as to,
    ):
        of.backup(to)
    return str(folder)


def test_ctrl_c_keeps_the_checkpoint_and_leaves_no_process(workspace, trained, steps, tmp_path):
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background job, and it
        signal.signal(signal.SIGINT, signal.default_int_handler)  # would be inherited
    said = tmp_path / "said"
    with said.open("w") as file:
        line = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "-w", str(workspace.root), "run"],
            stdout=file,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PREFECT_HOME": own_home(tmp_path / "prefect")},
            start_new_session=True,
        )
    try:
        wait_for(lambda: checkpoint(workspace) or line.poll() is not None)
        family = psutil.Process(line.pid).children(recursive=True)
        [server] = [one.pid for one in family if "uvicorn" in one.cmdline()]
        assert os.getsid(server) == server  # out of reach of what a terminal does
        os.killpg(line.pid, signal.SIGINT)  # all of the line gets it
        assert line.wait(timeout=60) == 1
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(line.pid, signal.SIGKILL)
    text = said.read_text()
    assert "stopping, checkpoints are kept" in text
    assert text.strip().splitlines()[-1] == "Error: stopped; `inspectline run` goes on from here"
    assert "Traceback" not in text and "KeyboardInterrupt" not in text
    assert len(family) >= 3  # Prefect's server, the server of processes, the fit
    gone(family)
    assert not list(workspace.root.glob("data/**/.*partial"))
    assert run_line(workspace, [], None)
    assert first_epoch(steps) > 1
    assert model(workspace) == model(trained)


def gone(processes):
    """Wait until each has ended; one that nobody has reaped yet has ended too."""

    def left():
        alive = [p for p in processes if p.is_running()]
        return [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]

    wait_for(lambda: not left())


def test_a_stop_ends_quickly_and_decides_nothing(workspace, steps, monkeypatch, capfd):
    monkeypatch.setattr(stop, "stoppable", lambda *_: contextlib.nullcontext())

    def ask():
        wait_for(lambda: checkpoint(workspace))
        stop.asked.set()

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        with pytest.raises(stop.Stopped, match="goes on from here"):
            run_line(workspace, [], None)
    finally:
        stop.asked.clear()
        asker.join()
    assert checkpoint(workspace)
    assert not (workspace.scratch / "decisions").exists()
    assert not multiprocessing.active_children()


@pytest.mark.slow  # a run of its own, half a minute
def test_what_a_killed_run_had_begun_ends_too(workspace):
    line = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "-w", str(workspace.root), "run"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: checkpoint(workspace) or line.poll() is not None)
    family = psutil.Process(line.pid).children(recursive=True)
    assert len(family) >= 4
    line.kill()
    line.wait()
    gone(family)
    assert run_line(workspace, [], None)  # nobody holds the workspace any more
