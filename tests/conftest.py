"""Settings and fixtures of all tests. Nothing here touches the user's home or a network."""

import copy
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

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
# Files of tests lie in memory where there is room: they are 16 GB in a run, 1.2 at once. A disk
# looks long for places among what was deleted a moment ago.
MEMORY, ROOM = Path("/dev/shm"), 12 * 10**9
with suppress(OSError):
    runs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC  # what tests compile is run there
    if runs and shutil.disk_usage(MEMORY).free > ROOM and os.access(MEMORY, os.W_OK):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# Of this run of tests; its workers inherit the name, and so share Prefect's server.
if "INSPECTLINE_TESTS_HOME" not in os.environ:
    HOME = tempfile.TemporaryDirectory(
        prefix="inspectline-tests-",
        dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"),
        ignore_cleanup_errors=True,
    )
    os.environ["INSPECTLINE_TESTS_HOME"] = HOME.name
    Path(HOME.name, "run.pid").write_text(str(os.getpid()))
    CACHES = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("UV_CACHE_DIR", str(CACHES / "uv"))  # packages need not come again
    os.environ["XDG_CACHE_HOME"] = str(Path(HOME.name, "cache"))
# fixtures moto_s3, rclone_s3, store_on; web; server
pytest_plugins = ["tests.s3_servers", "tests.web", "tests.flows.farm"]

KEPT = 8  # networks with random weights
SHARED = Path(__file__).resolve().parents[2] / "shared"


# Files that one worker needs long for come first, so that none is left alone with one at the end.
# Not all of them wait then for the workspace that the tests of flows share.
FIRST = ("tests/test_contract.py", "tests/tasks/models/test_fitting.py", "tests/flows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        found = (at for at, path in enumerate(FIRST) if item.nodeid.startswith(path))
        return next(found, len(FIRST))

    items.sort(key=place)


def pytest_collection(session: pytest.Session) -> None:
    """Search for no garbage in the imports of the tests: they make a million objects that stay. A
    process that only starts others collects nothing."""
    if hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", None):
        gc.disable()


def pytest_collection_finish() -> None:
    """Search for garbage less often, and not in what the imports made."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(10_000, 10, 50)


@pytest.fixture(autouse=True, scope="session")
def one_table_of_operators() -> Iterator[None]:
    """Exports to ONNX of one process share what each would make again in a third of a second."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    made = staticmethod(cache(ONNXRegistry.from_torchlib))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", made)
        yield


@pytest.fixture(autouse=True, scope="session")
def networks_drawn_once() -> Iterator[None]:
    """A backbone of random weights is a copy of the one that the same random numbers gave."""
    import torch

    from ad_models import features

    made: dict[tuple[str, bytes], tuple[torch.nn.Module, torch.Tensor]] = {}

    def network(backbone: str) -> torch.nn.Module:
        if torch._C._len_torch_function_stack():  # one without numbers is asked for
            return drawn(backbone)
        key = backbone, torch.get_rng_state().numpy().tobytes()
        net, state = made.pop(key, None) or (drawn(backbone), torch.get_rng_state())
        made[key] = net, state  # used last: it stays for longest
        if len(made) > KEPT:
            del made[next(iter(made))]
        torch.set_rng_state(state)
        return copy.deepcopy(net)

    drawn: Any = features.network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "network", network)
        yield


@pytest.fixture(autouse=True, scope="session")
def any_folder_is_a_disk() -> Iterator[None]:
    """Where the folders of tests lie in memory, what is kept on a disk alone is kept there too."""
    from ad_models import budget

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget.disk, "__defaults__", (None, Path("/no mounts are told here")))
        yield


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that is on a disk, for other processes too, wherever those of tests lie."""
    from ad_models.budget import disk

    places = (tmp_path, Path(tempfile.gettempdir()), Path("/var/tmp"))
    place = next((one for one in places if one.is_dir() and disk(one, Path("/"))), None)
    if place is None:
        pytest.skip("no folder for temporary files is on a disk")
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


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
