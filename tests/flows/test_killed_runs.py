"""kill -9 at random moments of runs that promote: whatever was interrupted, the store is whole and
the next run makes up for it."""

import os
import random
import subprocess
import sys
import time

import psutil
import pytest

from tasks.documents.champion import Pointer
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.store.opening import store_of
from tasks.store.releases import releases
from tests.flows.conftest import edit
from tests.flows.test_dvc import dvc

KILLS = int(os.environ.get("INSPECTLINE_KILLS", "50"))


def begin(workspace, log):
    """A run of one product in a process of its own."""
    words = [sys.executable, "-m", "flows.cli", "-w", str(workspace.root), "run", "-p", "plate"]
    variables = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    return subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=variables)


def change(workspace, number):
    """Another threshold is another release, and one that decides as well as the champion replaces
    it."""
    threshold = {"overkill": 0.1 + number / 1000}
    edit(workspace, "plate", algorithms=["padim"], threshold=threshold)


def check_store(workspace, cache) -> Pointer:
    """Each record can be read, each release is whole, and the champion is one of them."""
    store = store_of(workspace)
    known = {release.id for release in releases(store, "plate")}
    pointer = champion(store, "plate")
    assert pointer is not None and pointer.release in known
    assert fetch(store, "plate", pointer.release, cache).is_dir()  # checks every hash
    return pointer


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_at_random_runs_that_promote_leave_nothing_broken(copy, tmp_path):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    started = time.monotonic()
    change(copy, 0)
    with (tmp_path / "log").open("wb") as log:
        assert begin(copy, log).wait() == 0
        usual, champions = time.monotonic() - started, {check_store(copy, tmp_path / "c").release}
        for number in range(1, KILLS + 1):
            change(copy, number)
            run = begin(copy, log)
            family, began = [], time.monotonic()
            until = began + chance.uniform(0.2, 1.1 * usual)
            while run.poll() is None and time.monotonic() < until:
                family = psutil.Process(run.pid).children(recursive=True) or family
                time.sleep(0.05)
            # another machine's load must not put all kills at the start of a run
            usual = time.monotonic() - began if run.poll() is not None else 1.03 * usual
            run.kill()
            run.wait()
            champions.add(check_store(copy, tmp_path / "c").release)
            print(number, "kills,", len(champions), "champions", flush=True)
            # the server of processes may have to end its imports before it sees that it is alone
            psutil.wait_procs(family, timeout=300)
            assert not [p for p in family if p.is_running() and p.status() != "zombie"]
        last = begin(copy, log).wait()
    assert last == 0, (tmp_path / "log").read_text(errors="replace")[-4000:]
    champions.add(check_store(copy, tmp_path / "c").release)
    print(len(champions), "champions,", f"{usual:.1f} s a run")
    assert len(champions) > KILLS / 10
    assert "up to date" in dvc(copy, "status")
    assert not list(copy.root.glob("data/**/.*partial"))
    assert not list((copy.root / ".inspectline").glob("tmp*"))
