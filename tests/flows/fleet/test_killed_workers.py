"""kill -9 of workers at random moments while they train: every run ends well, and nothing that was
half written is taken for whole."""

import hashlib
import os
import random
import re
import threading
import time

import pytest

from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.store.opening import store_of
from tests.flows.conftest import edit, write_params
from tests.flows.farm import Farm, share, until

KILLS = int(os.environ.get("INSPECTLINE_KILLS", "20"))
EACH = 5  # kills in one run at most
NAMES = ("gpu1", "gpu2")
POOL = "press shop"  # any name will do
WORKERS = {"checkpoint": 2.0, "rest": 1.0, "silence": 30.0, "attempts": 100, "pool": {"name": POOL}}
PAUSE = (0.5, 20.0)  # seconds of training before a kill


@pytest.fixture
def farm(make, tmp_path, server):
    workspace = make(tmp_path / "line", "cap")
    share(workspace, tmp_path, str(tmp_path / "far"))
    write_params(workspace.root, line={"device": "cpu", "workers": WORKERS})
    farm = Farm(tmp_path, workspace, server, POOL)
    until(farm.answers, "no server")
    farm.call("deploy")
    for name in NAMES:
        farm.start(name)
    try:
        until(lambda: farm.online() == list(NAMES), "two workers")
        yield farm
    finally:
        farm.end()


def heard(process):
    """What a command says, as far as it has: a list that grows."""
    said = []

    def read():
        for text in process.stdout:
            said.append(text)

    threading.Thread(target=read, daemon=True).start()
    return said


def at_work(said, since):
    """The worker that was last seen to train, in what was said since then; None: nobody."""
    found = re.findall(r"(gpu\d) learn", "".join(said[since:]))
    return found[-1] if found else None


def check_objects(folder):
    """Each object of the DVC remote holds what its name says."""
    for path in folder.glob("files/md5/??/*"):
        name = path.parent.name + path.name.removesuffix(".dir")
        assert hashlib.md5(path.read_bytes()).hexdigest() == name, path


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_workers_killed_at_random_while_they_train(farm, tmp_path):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance, kills, runs, releases = random.Random(seed), 0, 0, set()
    while kills < KILLS:
        runs += 1
        long = {"reverse_distillation": {"epochs": 60, "seed": runs}, "padim": {"seed": runs}}
        edit(farm.workspace, "cap", algorithms=long)
        run = farm.line("run")
        said, here, since = heard(run), 0, 0
        while here < EACH and run.poll() is None:
            if (name := at_work(said, since)) is None:
                time.sleep(0.2)
                continue
            time.sleep(chance.uniform(*PAUSE))
            if run.poll() is None:
                farm.kill(name)
                since, here = len(said), here + 1
                farm.start(name)
        assert run.wait(1800) == 0, "".join(said)
        run.stdout.close()
        kills += here
        pointer = champion(store_of(farm.workspace), "cap")
        assert (
            pointer
            and fetch(store_of(farm.workspace), "cap", pointer.release, tmp_path / "c").is_dir()
        )
        releases.add(pointer.release)
        assert "Traceback" not in "".join(said), "".join(said)
        check_objects(tmp_path / "far")
        farm.clean()
        print(f"run {runs}: {here} kills, {kills} in all", flush=True)
    assert not list(farm.workspace.root.glob("data/**/.*partial"))
    print(len(releases), "champions in", runs, "runs,", kills, "kills")
