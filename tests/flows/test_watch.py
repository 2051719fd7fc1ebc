"""The watcher: what arrives together is one run, nothing is lost, nothing is taken twice."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import PurePosixPath

import numpy as np
import pytest
from PIL import Image

from flows.watch import FAILED, RETRY, TRIES, Watcher, start_announced, watched_sources
from tasks.arrival.labels import read_labels
from tasks.arrival.watch_state import WatchState
from tasks.checks.manifest import manifest_frame, scan_images, write_image_manifest
from tasks.workspace.errors import LineError
from tasks.workspace.lock import run_lock
from tests.flows.conftest import edit, refused


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class Run:
    """A run that ends when it is told to."""

    def __init__(self, products):
        self.products = products
        self.code = None

    def poll(self):
        return self.code


@pytest.fixture
def drop(tmp_path):
    folder = tmp_path / "drop"
    (folder / "train" / "good").mkdir(parents=True)
    return folder


@pytest.fixture
def scene(workspace, drop):
    return Scene(workspace, drop)


class Scene:
    def __init__(self, workspace, drop):
        self.workspace = workspace
        self.drop = drop
        self.runs = []
        self.said = []
        self.clock = Clock()
        self.restart()

    def restart(self, *labels):
        said = read_labels(labels)
        watched = watched_sources(self.workspace, [f"cap={self.drop}"], (5, 30, 600), None, said)
        self.watcher = Watcher(self.workspace, watched, self.start, self.said.append, self.clock)

    def start(self, products):
        self.runs.append(Run(products))
        return self.runs[-1]

    def wait(self, seconds):
        for _ in range(seconds // 2):
            self.clock.now += 2
            self.watcher.step()

    def images(self):
        return sorted(self.workspace.images("cap").rglob("*.png"))


def put(drop, index, where="train/good"):
    path = drop / where / f"{index:03d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(index).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def digests(paths):
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


def test_ten_drops_become_one_run_and_what_comes_meanwhile_gets_the_next(scene):
    for index in range(10):
        put(scene.drop, index)
        scene.wait(6)
    assert not scene.runs and not scene.images()
    scene.wait(40)
    assert [run.products for run in scene.runs] == [["cap"]]
    assert digests(scene.images()) == digests(scene.drop.rglob("*.png"))
    put(scene.drop, 10)
    scene.wait(100)
    assert len(scene.runs) == 1 and len(scene.images()) == 10  # the run keeps what it began with
    scene.runs[0].code = 0
    scene.wait(10)
    assert len(scene.runs) == 2 and len(scene.images()) == 11
    scene.runs[1].code = 0
    scene.wait(700)
    assert len(scene.runs) == 2 and scene.watcher.idle


def test_what_is_half_written_waits_and_what_is_no_image_is_told(scene):
    whole = put(scene.drop, 1)
    content = whole.read_bytes()
    half = scene.drop / "train" / "good" / "half.png"
    for part in range(1, 20):
        half.write_bytes(content[: part * 4])
        scene.wait(4)
    half.write_bytes(put(scene.drop, 2).read_bytes()[:-10])
    scene.wait(60)
    assert any("half.png" in text and "damaged" in text for text in scene.said)
    assert len(scene.images()) == 2 and len(scene.runs) == 1
    half.write_bytes(put(scene.drop, 3).read_bytes())
    scene.runs[0].code = 0
    scene.wait(60)
    assert len(scene.images()) == 3 and len(scene.runs) == 2


def test_an_image_beside_the_layout_is_asked_and_nothing_is_taken(scene):
    (scene.drop / "stray.png").write_bytes(put(scene.drop, 1).read_bytes())
    scene.wait(60)
    assert any("--labels" in text and "Nothing was taken" in text for text in scene.said)
    assert not scene.images() and not scene.runs


def test_a_restart_forgets_nothing_and_repeats_nothing(scene):
    put(scene.drop, 1)
    scene.wait(40)
    assert len(scene.runs) == 1
    scene.restart()  # killed during the run: whether it ended is not known
    scene.wait(4)
    assert len(scene.runs) == 2 and len(scene.images()) == 1
    scene.runs[1].code = 0
    scene.wait(4)
    scene.restart()
    scene.wait(100)
    assert len(scene.runs) == 2 and scene.watcher.idle


def test_a_run_that_fails_is_tried_again_but_not_for_ever(scene):
    put(scene.drop, 1)
    scene.wait(40)
    for tried in range(TRIES):
        scene.runs[-1].code = FAILED
        scene.wait(2)
        assert len(scene.runs) == tried + 1
        scene.wait(int(RETRY) * 2**tried + 4)
        assert len(scene.runs) == tried + 2
    scene.runs[-1].code = FAILED
    scene.wait(3000)
    assert len(scene.runs) == TRIES + 1 and scene.watcher.idle
    put(scene.drop, 2)
    scene.wait(40)
    assert len(scene.runs) == TRIES + 2


def test_a_run_by_hand_is_waited_for(scene):
    put(scene.drop, 1)
    with run_lock(scene.workspace):
        scene.wait(100)
        assert not scene.images() and not scene.runs
        assert sum("in use" in text for text in scene.said) == 1
    scene.wait(4)
    assert len(scene.images()) == 1 and len(scene.runs) == 1


def test_a_source_that_goes_away_is_told_once_and_taken_when_it_is_back(scene):
    scene.drop.rename(scene.drop.with_name("away"))
    scene.wait(200)
    assert sum("no such folder" in text for text in scene.said) == 1
    scene.drop.with_name("away").rename(scene.drop)
    put(scene.drop, 1)
    scene.wait(120)
    assert len(scene.runs) == 1


def test_a_server_that_is_away_is_told_when_it_is_back(scene, monkeypatch):
    from flows.prefect_server import events

    away = [LineError("refused"), RuntimeError("Failed to reach API")]
    told = []

    def announce(workspace, reasons):
        if away:
            raise away.pop()
        told.append((workspace.root, reasons))

    monkeypatch.setattr(events, "announce", announce)
    scene.watcher.start = start_announced(scene.workspace)
    put(scene.drop, 1)
    scene.wait(40)
    assert not told and len(scene.images()) == 1
    scene.wait(3 * int(RETRY) + 10)
    assert told == [(scene.workspace.root, {"cap": "cap: 1 new images"})] and scene.watcher.idle


def validated(workspace):
    """As a run leaves it: its manifest has all images."""
    write_image_manifest(
        manifest_frame(scan_images(workspace.images("cap")).rows),
        workspace.validation("cap") / "manifest.csv",
    )


def test_the_spec_says_how_many_images_start_a_run(scene):
    put(scene.drop, 0)
    scene.wait(40)
    scene.runs[0].code = 0
    validated(scene.workspace)
    edit(scene.workspace, "cap", retrain={"new_images": 3})
    for index in (1, 2):
        put(scene.drop, index)
        scene.wait(40)
    assert len(scene.runs) == 1 and len(scene.images()) == 3 and scene.watcher.idle
    assert scene.said[-1] == "cap: no run yet: 2 new images"
    put(scene.drop, 3)
    scene.wait(40)
    assert len(scene.runs) == 2


def test_corrected_labels_start_a_run_where_the_spec_says_so(scene):
    put(scene.drop, 0)
    put(scene.drop, 1)
    scene.wait(40)
    scene.runs[0].code = 0
    validated(scene.workspace)
    first, second = (f"train/good/{n:03d}.png" for n in range(2))
    record(scene, first)
    scene.wait(10)
    edit(scene.workspace, "cap", retrain={"relabelled": 2})
    scene.wait(100)
    assert len(scene.runs) == 1
    record(scene, first, second)
    scene.wait(10)
    assert len(scene.runs) == 2


def record(scene, *paths):
    path = scene.workspace.corrections("cap")
    path.write_text("".join(f"{p}: {{label: drop, by: anna, why: blurred}}\n" for p in paths))
    os.utime(path, (len(paths), len(paths)))


def test_a_question_is_told_once_and_an_answer_goes_on(scene):
    put(scene.drop, 1)
    put(scene.drop, 2, "odd ones")
    shutil.rmtree(scene.drop / "train")
    put(scene.drop, 3, "")
    scene.wait(200)
    asked = [text for text in scene.said if "--labels" in text]
    assert len(asked) == 1 and "odd ones (1)" in asked[0] and not scene.images()
    assert scene.watcher.stuck and not scene.watcher.idle
    put(scene.drop, 4, "rubbish")
    scene.restart("crack=odd ones", "good=.", "skip=rubbish")
    scene.wait(60)
    found = [path.relative_to(scene.workspace.images("cap")).as_posix() for path in scene.images()]
    assert found == ["test/crack/002.png", "train/good/003.png"] and len(scene.runs) == 1
    scene.runs[0].code = 0
    scene.wait(60)
    assert scene.watcher.idle  # what is skipped waits for nothing
    assert any("test/crack 1, train/good 1" in text for text in scene.said)


def test_a_source_of_which_all_is_refused_is_told_and_not_asked_again(scene):
    (scene.drop / "train/good/1.png").write_text("no image")
    scene.wait(200)
    told = [text for text in scene.said if "refused train/good/1.png" in text]
    assert len(told) == 1 and not scene.runs and scene.watcher.idle
    put(scene.drop, 2)
    scene.wait(60)
    assert len(scene.images()) == 1 and len(scene.runs) == 1


def test_wrong_sources_are_named(workspace, command, tmp_path):
    refused(command(workspace, "watch", "cap"), "'cap' names no source", "PRODUCT=FOLDER")
    refused(command(workspace, "watch", f"cap={tmp_path}/x", "--once"), "no such folder")
    refused(command(workspace, "watch", f"a b={tmp_path}"), "cannot name a product")


KILLS = 50


@pytest.mark.slow
def test_killed_at_random_every_image_is_in_the_version_once(workspace, drop):
    """kill -9, fifty times, while images keep arriving."""
    import dvc.repo  # noqa: F401, before the forks: each of them would import it

    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    for index in range(5):
        put(drop, index)
    version = workspace.product("cap") / "images.dvc"
    for kill in range(KILLS):
        put(drop, 5 + kill)
        child = os.fork()
        if child == 0:
            watch_for_ever(workspace, drop)
        time.sleep(chance.uniform(0.05, 3.0))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    watch_until_idle(workspace, drop)
    assert digests(drop.rglob("*.png")) == digests(workspace.images("cap").rglob("*.png"))
    assert f"nfiles: {5 + KILLS}" in version.read_text()
    assert not WatchState.read(workspace, "cap").due


def quick(workspace, drop):
    import subprocess

    watched = watched_sources(workspace, [f"cap={drop}"], (0.05, 0.1, 1.0))
    return Watcher(workspace, watched, lambda _: subprocess.Popen(["true"]), print)


def watch_for_ever(workspace, drop):
    try:
        watcher = quick(workspace, drop)
        while True:
            watcher.step()
            time.sleep(0.02)
    finally:
        sys.stdout.flush()
        os._exit(1)


def watch_until_idle(workspace, drop):
    watcher = quick(workspace, drop)
    until = time.monotonic() + 300
    while True:
        watcher.step()
        if watcher.idle and all(not one.waiting.new for one in watcher.watched):
            return
        assert time.monotonic() < until, PurePosixPath(drop)
        time.sleep(0.02)


def test_what_stops_the_watcher_stops_its_run(workspace, drop):
    """SIGTERM to the watcher alone: one line, an exit code, and no run goes on."""
    run = subprocess.Popen(["sleep", "600"], start_new_session=True)
    said = []
    watched = watched_sources(workspace, [f"cap={drop}"], (5, 30, 600), None)
    watcher = Watcher(workspace, watched, lambda products: run, said.append)
    watched[0].state.due = True
    watcher.step()
    watcher.close()
    assert run.poll() == -signal.SIGTERM
    assert said[-1] == "stopping the run of cap; its checkpoints are kept"


def catches(pid, number):
    """Whether a process has a handler of its own for a signal."""
    with open(f"/proc/{pid}/status") as file:
        [caught] = [line.split()[1] for line in file if line.startswith("SigCgt")]
    return int(caught, 16) >> (number - 1) & 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_signal_ends_the_command_with_one_line(workspace, drop):
    watching = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "-w", str(workspace.root), "watch", f"cap={drop}"],
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 60
    while not catches(watching.pid, signal.SIGTERM) and time.monotonic() < until:
        time.sleep(0.05)
    watching.send_signal(signal.SIGTERM)
    _, said = watching.communicate(timeout=60)
    assert watching.returncode == 130
    assert said == "Error: stopped; the same command again goes on\n"
