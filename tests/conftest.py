"""Settings and fixtures of all tests. Nothing here touches the user's home or a network."""

import gc
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

os.environ.pop("INSPECTLINE_WEIGHTS", None)  # a developer's setting must not change a result
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"
os.environ["DVC_NO_ANALYTICS"] = "1"
# The line starts many processes. Where each has to compile all that it imports, half of the time
# goes there.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Tiny tensors spend their time on handing work to threads: one is ten times faster. Set before any
# process is forked: how many threads share a sum decides its last bit.
os.environ["OMP_NUM_THREADS"] = "1"
# Of this run of tests; its workers inherit the name, and so share Prefect's server.
if "INSPECTLINE_TESTS_HOME" not in os.environ:
    HOME = tempfile.TemporaryDirectory(prefix="inspectline-tests-", ignore_cleanup_errors=True)
    os.environ["INSPECTLINE_TESTS_HOME"] = HOME.name
    Path(HOME.name, "run.pid").write_text(str(os.getpid()))
    CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("UV_CACHE_DIR", str(CACHES / "uv"))  # packages need not come again
    os.environ["XDG_CACHE_HOME"] = str(Path(HOME.name, "cache"))
# fixtures moto_s3, rclone_s3, store_on; web; server
pytest_plugins = ["tests.s3_servers", "tests.web", "tests.flows.farm"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


# Files that one worker needs long for come first, so that none is left alone with one at the end.
# Not all of them wait then for the workspace that the tests of flows share.
FIRST = ("tests/test_contract.py", "tests/tasks/models/test_fitting.py", "tests/flows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        found = (at for at, path in enumerate(FIRST) if item.nodeid.startswith(path))
        return next(found, len(FIRST))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Search for garbage less often, and not in what the imports made: a million objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 50)


@pytest.fixture(autouse=True, scope="session")
def one_table_of_operators() -> Iterator[None]:
    """Exports to ONNX of one process share what each would make again in a third of a second."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    made = staticmethod(cache(ONNXRegistry.from_torchlib))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", made)
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """A test draws the same numbers whatever ran before it in its process."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine as fast as any other, which is not measured."""

    def given(_: object, backbones: Sequence[str], size: object) -> tuple[str, dict[str, float]]:
        return "cpu, 1 thread", dict.fromkeys(backbones, 0.01)

    monkeypatch.setattr("tasks.build.estimate.measured", given)


@pytest.fixture(autouse=True)
def weights_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `auto` takes must not hang on the network of the machine that tests."""
    monkeypatch.setattr("tasks.build.choose_algorithms.lacks_imagenet", lambda backbone: False)


def _folder(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, SHARED / name))
    if not folder.is_dir():
        pytest.skip(f"no {name} at {folder}; set {variable} to their folder")
    return folder


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Folder of real data sets in MVTec AD layout."""
    return _folder("INSPECTLINE_DATASETS", "datasets")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """Folder of real ImageNet weights, named by backbone."""
    return _folder("INSPECTLINE_TEST_WEIGHTS", "weights")
