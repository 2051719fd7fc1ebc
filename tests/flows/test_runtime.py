"""The wheel, installed alone, inspects; it is small, and says what it lacks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.flows.releases import made_release, picture

ROOT = Path(__file__).parents[2]
MEGABYTES = 400  # of the packages of the runtime, at most
UV = Path(sys.executable).with_name("uv")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
    """The folder of programs of an environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("runtime")
    made = call(UV, "build", "--wheel", "--out-dir", folder, copied(folder))
    wheel = next(folder.glob("*.whl"), None)
    if wheel is None:
        pytest.skip(f"no wheel can be built without a network: {made.stderr[-300:]}")
    call(UV, "venv", folder / "venv", "--python", sys.executable).check_returncode()
    programs = folder / "venv/bin"
    installed = call(UV, "pip", "install", "--python", programs / "python", wheel)
    if installed.returncode:
        pytest.skip(f"the runtime cannot be installed here: {installed.stderr[-300:]}")
    return programs


def copied(folder):
    """The sources, so that a build leaves nothing in the repository."""
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "source" / name).write_bytes((ROOT / name).read_bytes())
    return folder / "source"


def call(*words, **more):
    quiet = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [*map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=quiet, **more)


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    return made_release(tmp_path_factory.mktemp("released"))


def test_the_runtime_is_small(runtime):
    packages = next(runtime.parent.glob("lib/python*/site-packages"))
    size = call("du", "-sm", "--exclude=__pycache__", packages)
    assert int(size.stdout.split()[0]) < MEGABYTES


def test_the_runtime_inspects(runtime, released):
    image = released.root / "bright.png"
    found = call(runtime / "inspectline", "predict", "plate", image, cwd=released.root)
    assert found.stdout.startswith("DEFECT"), found.stderr
    assert call(runtime / "inspectline", "serve", "--help").returncode == 0
    listed = call(runtime / "inspectline", "releases", "plate", cwd=released.root)
    assert "padim" in listed.stdout, listed.stderr


def test_the_runtime_pulls_and_checks(runtime, released, tmp_path):
    here = {"cwd": tmp_path}
    program, store = runtime / "inspectline", released.root / "store"
    pulled = call(program, "pull", "plate", "--store", store, "--to", "stick", **here)
    assert pulled.returncode == 0, pulled.stderr
    assert call(program, "selftest", "stick", **here).returncode == 0
    image = released.root / "dark.png"
    found = call(program, "predict", "plate", "--store", "stick", image, **here)
    assert found.stdout.startswith("GOOD"), found.stdout + found.stderr
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "part.png", 220)
    words = ["--store", "stick", "--sink", "sorted", "--outbox", "box", "--once", "--settle", "0"]
    looped = call(program, "inspect", "plate", "in", *words, **here)
    assert looped.returncode == 0, looped.stderr
    assert len(list((tmp_path / "sorted/ng").iterdir())) == 2
    refused = call(program, "inspect", "plate", "in", "--sink", "mqtt://host", *words[:2], **here)
    assert refused.returncode == 2 and "inspectline[mqtt]" in refused.stderr, refused.stderr


def test_what_trains_says_what_it_needs(runtime, released):
    for words in (["init", "other"], ["report"], ["board"], ["distil"], ["status"]):
        ended = call(runtime / "inspectline", *words, cwd=released.root)
        assert ended.returncode == 2, (words, ended.stderr)
        assert "pip install 'inspectline[line]'" in ended.stderr
        assert ended.stderr.count("\n") == 1, ended.stderr
