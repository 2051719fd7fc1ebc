"""A disk that fills up: a text that says so, nothing half-written, and the next run completes."""

import shutil
import subprocess

import pytest

from tasks.store.champion import champion
from tasks.store.opening import store_of
from tests.flows.conftest import edit, write_params

LEFT = 3 << 19  # bytes: less than a model


@pytest.fixture
def disk(tmp_path):
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(call, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk):
    """A file that leaves LEFT bytes."""
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        for _ in range((shutil.disk_usage(disk).free - LEFT) >> 20):
            file.write(bytes(1 << 20))
    return ballast


def test_a_fit_on_a_full_disk_fails_and_the_next_run_makes_up(make, prefect, disk, command):
    workspace = make(disk / "ws", "plate")
    edit(workspace, "plate", algorithms=["padim"])
    ballast = fill(disk)
    result = command(workspace, "run")
    assert result.exit_code == 1
    assert "space" in result.output, result.output
    assert not (workspace.model("plate", "padim") / "model.safetensors").exists()
    assert not list(workspace.root.glob("data/**/*.partial"))
    ballast.unlink()
    assert command(workspace, "run").exit_code == 0
    assert champion(store_of(workspace), "plate").algorithm == "padim"


def test_publishing_on_a_full_disk_fails_and_the_next_run_publishes(copy, prefect, disk, command):
    write_params(copy.root, line={"device": "cpu", "store": str(disk / "store")})
    ballast = fill(disk)
    result = command(copy, "run")
    assert result.exit_code == 1
    assert "failed: gate plate: no space left" in result.output, result.output
    assert champion(store_of(copy), "plate") is None
    ballast.unlink()
    result = command(copy, "run")
    assert result.exit_code == 0 and "nothing to train" in result.output
    assert champion(store_of(copy), "plate") is not None
