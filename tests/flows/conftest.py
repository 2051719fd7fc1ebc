"""Small workspaces and one Prefect server for all tests of the line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from filelock import FileLock

from flows.prefect_server.own import address, answers, launch, own, unused_port
from flows.prefect_server.start import SETTINGS
from tasks.arrival.samples.draw import draw_samples
from tasks.workspace.paths import Workspace
from tests.flows.farm import until

HOME = Path(os.environ["INSPECTLINE_TESTS_HOME"])  # tests/conftest.py makes it
# Before any test module imports prefect, which reads them then
os.environ |= SETTINGS | {"PREFECT_HOME": str(HOME)}
os.environ.pop("PREFECT_API_URL", None)

PARAMS: dict[str, Any] = {
    "defaults": {
        "algorithms": ["padim", "patchcore"],
        "image": {"size": 64},
        "training": {"calibration": 0.3, "folds": 0},
        "threshold": {"overkill": 0.2},
        "gates": {"image_auroc": 0.0, "miss": None},
        "evaluation": {"resamples": 200},
        "release": {"onnx": False},  # where a test is not about it: an export takes seconds
    },
    "algorithms": {
        "padim": {"backbone": "drawnet", "dims": 20},
        "patchcore": {"backbone": "drawnet", "ratio": 0.1},
        "fastflow": {"backbone": "drawnet", "steps": 2, "epochs": 10},
        "reverse_distillation": {"backbone": "resnet18", "epochs": 10, "weights": "random"},
    },
    "line": {"device": "cpu"},
}
# What the server of processes of a worker imports once for all runs there. A run asks for
# what it needs itself, and the first one decides: cells of the others would import the rest again.
IMPORTED = [
    *("tasks.fit", "tasks.evaluate", "tasks.gate", "tasks.promotion.assembly"),
    *("tasks.promotion.trial", "tasks.checks.expectations", "tasks.checks.suite"),
    *(f"ad_models.algorithms.{name}" for name in ("padim", "patchcore", "fastflow")),
]
STORY = "artifacts.json"  # beside the trained workspace: what Prefect's page shows of its run
Make = Callable[..., Workspace]
Command = Callable[..., Result]
Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(autouse=True, scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of DVC that is nobody's; dvc on the PATH."""
    home = tmp_path_factory.mktemp("dvc")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(home))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        yield


@pytest.fixture(scope="session")
def prefect() -> str:
    """Address of the server that every run in the process of a test uses; that of processes runs
    too.

    The first worker that needs it starts it for all, as a run does for itself: a server that makes
    its database takes ten seconds. It ends with the run of tests, however that ends.
    """
    from flows.running.process import prepare

    with FileLock(HOME / "server.lock"):
        if not (HOME / "server.port").exists():
            port = unused_port()
            process = launch(port, HOME / "server.log")
            run = (HOME / "run.pid").read_text()
            until_then = f"tail --pid={run} -f /dev/null; kill -9 {process.pid}"
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            watcher = subprocess.Popen(["sh", "-c", until_then], start_new_session=True, **quiet)
            for one in (process, watcher):
                one.returncode = 0  # it outlives this worker, and Python does not warn of that
            (HOME / "server.port").write_text(str(port))
        url = address(int((HOME / "server.port").read_text()))
        until(lambda: answers(url), "Prefect's server answers")
    own.use(url)  # so no run starts one more, and none ends it
    prepare(IMPORTED)
    return url


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """A function that makes a folder where no process of these tests has, and gives it. What is in
    it is only to be read, by functions: a command may write, and elsewhere the folder is copied."""
    base = tmp_path_factory.getbasetemp()  # of this worker, where pytest-xdist has started it
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "once"
    shared.mkdir(exist_ok=True)

    def folder(name: str, build: Callable[[Path], object]) -> Path:
        whole = shared / f"{name}.whole"
        with FileLock(shared / f"{name}.lock"):
            if not whole.exists():
                shutil.rmtree(shared / name, ignore_errors=True)
                (shared / name).mkdir()
                build(shared / name)
                whole.touch()
        return shared / name

    return folder


@pytest.fixture(scope="session")
def samples(once: Once) -> Path:
    """Folders cap, plate and weave: 12 images to train on, 4 good and 2 of each defect."""
    return once("samples", lambda to: draw_samples(to, size=64, train=12, good=4, per_defect=2))


@pytest.fixture(scope="session")
def make(samples: Path) -> Make:
    """A function that makes a workspace with sample products and changed params."""
    from flows.ingest import ingest_product
    from tasks.init import init

    def workspace(root: Path, *products: str, **changes: Any) -> Workspace:
        init(root)
        write_params(root, **changes)
        made = Workspace(root)
        for product in products:
            ingest_product(made, product, str(samples / product))
        return made

    return workspace


@pytest.fixture(scope="session")
def trained(make: Make, prefect: str, once: Once) -> Workspace:
    """Two products with two cells each, after a run. Only to be read."""

    def build(root: Path) -> None:
        from flows.run import run_line

        workspace = make(root, "cap", "plate")
        edit(workspace, "cap", algorithms=["padim", "fastflow"])
        assert run_line(workspace, [], None)
        (root.parent / STORY).write_text(json.dumps(story(root.name)))

    return Workspace(once("trained", build))


def story(name: str) -> list[dict[str, Any]]:
    """What the Prefect server shows of the runs of this name."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName

    of_run = FlowRunFilter(name=FlowRunFilterName(any_=[name]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(flow_run_filter=of_run)
        return [one.model_dump(mode="json") for one in found]


@pytest.fixture
def copy(trained: Workspace, tmp_path: Path) -> Workspace:
    """The trained workspace, to be changed."""
    root = tmp_path / "copy"
    shutil.copytree(trained.root, root, symlinks=True)
    return Workspace(root)


@pytest.fixture
def workspace(make: Make, tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return make(tmp_path / "ws")


@pytest.fixture
def source(samples: Path, tmp_path: Path) -> Path:
    """Images of one product, to be spoilt."""
    shutil.copytree(samples / "cap", tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def command(request: pytest.FixtureRequest) -> Command:
    """A function that calls the command line in a workspace, and checks that it ends orderly."""

    def call(workspace: Workspace | Path, *arguments: object) -> Result:
        from flows.cli import main

        if arguments[0] == "run":
            request.getfixturevalue("prefect")  # or each run would start a server of its own
        root = workspace.root if isinstance(workspace, Workspace) else workspace
        words = ["--workspace", str(root), *(str(one) for one in arguments)]
        result = CliRunner().invoke(main, words)
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        assert "Traceback" not in result.output
        return result

    return call


def write_params(root: Path, **changes: Any) -> None:
    """params.yaml of the tests; `defaults__gates` reaches into a section."""
    content = yaml.safe_load(yaml.safe_dump(PARAMS))
    for name, value in changes.items():
        *path, last = name.split("__")
        section = content
        for part in path:
            section = section[part]
        section[last] = value
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def edit(workspace: Workspace, product: str, **keys: Any) -> None:
    """Set keys of a product's spec."""
    path = workspace.product(product) / "product.yaml"
    content = yaml.safe_load(path.read_text()) or {}
    path.write_text(yaml.safe_dump(content | keys))


def refused(result: Result, *words: str) -> None:
    """The command failed, and its text has every one of these words."""
    assert result.exit_code != 0, result.output
    for word in words:
        assert word in result.output, result.output
