"""A command imports no package that it can do without: they take seconds and hundreds of MB."""

import subprocess
import sys

import pytest

from tests.flows.releases import made_release, picture

HEAVY = {"torch", "torchvision", "timm", "prefect", "great_expectations", "sklearn", "pandas"}
MEGABYTES = 250  # at most, of a prediction
RUN = """
import re, sys
from pathlib import Path
from flows.cli import main
from tasks.web import listening
listening.serve_app = lambda app, host, port, say: say(type(app).__name__)
try:
    main()
finally:
    status = Path("/proc/self/status")  # of Linux; getrusage counts the parent in
    peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text() if status.exists() else "VmHWM: 0")
    print(int(peak[1]) // 1024, file=sys.stderr)
    print("imported", *{name.split(".")[0] for name in sys.modules}, file=sys.stderr)
"""


def start(workspace, *words):
    """What a command in a process of its own prints, its peak memory in MB, what it imported."""
    command = [sys.executable, "-c", RUN, "-w", str(workspace.root), *map(str, words)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    *said, memory, imported = ended.stderr.splitlines()
    return ended.stdout + "\n".join(said), int(memory), set(imported.split())


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return made_release(tmp_path_factory.mktemp("released"))


def test_a_prediction_needs_no_framework(released):
    said, memory, imported = start(released, "predict", "plate", released.root / "bright.png")
    assert said.startswith("DEFECT")
    assert not HEAVY & imported
    assert memory < MEGABYTES


def test_a_service_needs_no_framework(released):
    said, memory, imported = start(released, "serve", "plate")
    assert "serving at FastAPI" in said
    assert not HEAVY & imported
    assert memory < MEGABYTES


def test_a_loop_needs_no_framework(released):
    folder = released.root / "in"
    folder.mkdir()
    picture(folder / "bright.png", 200)
    said, memory, imported = start(released, "inspect", "plate", folder, "--once", "--settle", 0)
    assert said.startswith("DEFECT")
    assert not (HEAVY | {"paho", "cv2", "boto3"}) & imported
    assert memory < MEGABYTES


@pytest.mark.parametrize("words", [["results"], ["releases", "cap"], ["--help"], ["schema"]])
def test_what_only_reads_files_imports_little(trained, words):
    assert not (HEAVY | {"dvc", "numpy", "jinja2"}) & start(trained, *words)[2]


def test_a_run_with_nothing_to_do_needs_no_framework(copy):
    said, _, imported = start(copy, "run")
    assert "every cell is up to date" in said
    assert not HEAVY & imported
