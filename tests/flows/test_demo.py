"""The demo can be stopped and begun again, and shows what it is to show."""

import os
import re
import subprocess
import sys

import pytest

from flows import demo
from tasks.reporting.disagreements import doubtful_labels
from tasks.workspace.paths import find


def test_the_demo_begins_again_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "SIZE", 64)
    monkeypatch.setattr(demo, "IMAGES", (2, 1, 1))
    monkeypatch.setattr(demo, "run_line", lambda *_: True)
    monkeypatch.setattr(demo, "bad_week", lambda *_: True)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    for new in (True, False):
        assert demo.run_demo(tmp_path / "demo")
        assert ("cap: 0 new images" in capsys.readouterr().out) is not new


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The folder of a demo, and what its user read; as it is started, without a network."""
    folder = tmp_path_factory.mktemp("shown") / "demo"
    command = [sys.executable, "-m", "flows.cli", "demo", str(folder)]
    quiet = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.mark.slow
def test_the_demo_tells_what_went_wrong(shown):
    folder, said = shown
    assert re.search(r"^plate: \w+ refused", said, re.M)
    doubted = doubtful_labels(find(folder), "plate")
    assert {f"test/good/late_{n}.png" for n in range(3)} <= {one["path"] for one in doubted}
    assert "DRIFTED" in said and "look at" in said


@pytest.mark.slow
def test_the_demo_decides_well(shown):
    found = re.findall(r"^(\w+) +\w+ \* .*? ([\d.]+) +[\d.]+ +[\d.]+ +([\d.]+)%", shown[1], re.M)
    first = {name: (float(auroc), float(miss)) for name, auroc, miss in found[:3]}
    assert all(auroc > 0.99 and miss <= 5 for auroc, miss in first.values()), first
