"""What makes a trained cell stale, and what does not: after an edit of the code or of a spec."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from flows.running.plan import make_plan
from tasks.build import upgrade
from tasks.build.fingerprint import STEPS, fingerprint
from tasks.build.upgrade import TABLE
from tasks.spec.read import read_yaml
from tasks.workspace.paths import PACKAGE, Workspace
from tests.flows.conftest import PARAMS, edit

ALGORITHMS = ("padim", "fastflow")  # of the product cap
FROZEN = Path(__file__).parents[1] / "data" / "workspace_0.1.tar.gz"
ASK = """
import sys
from pathlib import Path
from flows.running.plan import make_plan
from tasks.workspace.paths import Workspace
workspace = Workspace(Path(sys.argv[1]))
print(*make_plan(workspace, workspace.products).stages, sep="\\n")
"""


@pytest.fixture
def package(tmp_path):
    """A copy of the code that a test may edit."""
    folder = tmp_path / "package"
    for room in ("ad_models", "tasks", "flows"):
        shutil.copytree(PACKAGE / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PACKAGE / "params.yaml", folder)
    return folder


def stale(workspace):
    """Stages that a run would bring up to date."""
    return {str(stage) for stage in make_plan(workspace, workspace.products).stages}


def stale_by(package, workspace):
    """The same, asked of the code in a folder."""
    command = [sys.executable, "-c", ASK, str(workspace.root)]
    ended = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split("\n")) - {""}


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def rename(package):
    """One file of the package has another name, everywhere."""
    (package / "tasks/decisions/split.py").rename(package / "tasks/decisions/parting.py")
    for path in package.rglob("*.py"):
        text = path.read_text()
        if "tasks.decisions.split" in text:
            path.write_text(text.replace("tasks.decisions.split", "tasks.decisions.parting"))


def move(package):
    """All functions of a file stand in another one, which it takes them from."""
    here, there = (package / f"tasks/decisions/{name}.py" for name in ("cross_fit", "crossing"))
    there.write_text(here.read_text())
    names = re.findall(r"^def (\w+)", here.read_text(), re.M)
    here.write_text(f"from tasks.decisions.crossing import {', '.join(names)}\n")


HARMLESS = {
    "a file renamed": rename,
    "functions in another file": move,
    "a word in an error": lambda root: change(
        root / "tasks/images/decode.py", "DataError(", 'DataError("in other words: " '
    ),
    "a word in a hint": lambda root: change(
        root / "tasks/workspace/errors.py", "did you mean", "do you mean"
    ),
    "a new key with a default": lambda root: change(
        root / "tasks/spec/schema.py",
        "    folds: Annotated",
        "    again: int = 7\n    folds: Annotated",
    ),
    "a default of the workers": lambda root: change(
        root / "tasks/spec/schema.py", "batch: Annotated[int, Field(ge=1)] = 8", "batch: int = 9"
    ),
    "a comment": lambda root: change(
        root / "ad_models/algorithms/padim.py", "    def forward(", "    # a word\n    def forward("
    ),
}


def test_what_changes_no_result_makes_nothing_stale(package, copy):
    for edit_code in HARMLESS.values():  # all at once: each question is a process
        edit_code(package)
    assert stale_by(package, copy) == set(), f"one of: {', '.join(HARMLESS)}"


def test_a_line_of_an_algorithm_makes_its_cells_stale_and_no_other(package, copy):
    path = package / "ad_models/algorithms/padim.py"
    head = "    def forward(self, images: Tensor) -> Prediction:\n"
    change(path, head, head + "        images = +images\n")
    found = stale_by(package, copy)
    cells = {f"{step} {p} padim" for step in ("fit", "evaluate") for p in ("cap", "plate")}
    assert found == cells


def test_a_new_default_makes_those_stale_whose_value_it_changes(package, copy):
    edit(copy, "cap", evaluation={"pictures": 1000})
    change(
        package / "tasks/spec/schema.py",
        "pictures: Annotated[int, Field(ge=0)] = 1000",
        "pictures: int = 7",
    )
    found = stale_by(package, copy)
    assert found == {"evaluate plate padim", "evaluate plate patchcore"}


def test_the_size_of_images_makes_no_validation_stale(copy):
    edit(copy, "cap", image={"size": 96})
    cells = {f"{step} cap {name}" for step in ("fit", "evaluate") for name in ALGORITHMS}
    assert stale(copy) == cells


def test_a_preset_reaches_the_cells_that_use_it(copy):
    params = copy.root / "params.yaml"
    content = read_yaml(params)
    own = {"patchcore": PARAMS["algorithms"]["patchcore"], "padim": {"dims": 3}}
    content["presets"] = {"own": own}
    content["algorithms"]["patchcore"] = {"preset": "own"}
    params.write_text(yaml.safe_dump(content))
    assert stale(copy) == set()  # the same values, from another place
    own |= {"patchcore": own["patchcore"] | {"ratio": 0.2}, "padim": {"dims": 4}}
    params.write_text(yaml.safe_dump(content))
    assert stale(copy) == {"fit plate patchcore", "evaluate plate patchcore"}


def test_where_each_fingerprint_had_a_stage_of_its_own_nothing_is_stale(copy):
    lock = read_yaml(copy.root / "dvc.lock")
    lock["stages"]["code-padim"] = lock["stages"].pop("code")
    lock["stages"]["fit-gone"] = {"cmd": "python -m tasks.fit gone"}
    (copy.root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    assert stale(copy) == set()
    kept = read_yaml(copy.root / "dvc.lock")["stages"]
    assert ("code" in kept, "code-padim" in kept, "fit-gone" in kept) == (True, False, True)


@pytest.fixture
def frozen(tmp_path):
    """A workspace as version 0.1 left it, up to date; its models are stand-ins of a few bytes."""
    root = tmp_path / "frozen"
    with tarfile.open(FROZEN) as tape:
        # not known before Python 3.11.4, and asked for from 3.12 on
        tape.extractall(root, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    subprocess.run(["dvc", "checkout", "--quiet"], cwd=root, check=True)
    return Workspace(root)


@pytest.fixture
def same_results(tmp_path, monkeypatch):
    """The code of today, as if it gave the results of version 0.1."""
    table = {name: one | {"now": fingerprint(name)} for name, one in read_yaml(TABLE).items()}
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump(table))
    monkeypatch.setattr(upgrade, "TABLE", path)


def test_where_code_gives_the_same_results_a_workspace_of_version_0_1_trains_nothing(
    frozen, same_results
):
    assert stale(frozen) == set()


def test_what_was_stale_in_version_0_1_stays_so(frozen, same_results):
    change(frozen.root / "params.yaml", "dims: 8", "dims: 9")
    (frozen.model("cap", "patchcore") / "model.safetensors").write_text("another")
    (frozen.model("cap", "regad") / "model.safetensors").write_text("another")
    found = stale(frozen)
    assert {"fit cap padim", "evaluate cap padim"} <= found  # plate has dims of its own
    assert {"fit cap patchcore", "fit cap regad"} <= found
    assert not {text for text in found if text.startswith(("validate", "fit plate regad"))}


# Steps with other results than in version 0.1: images are resized by other code, which differs by
# rounding, and thresholds are chosen otherwise.
RETRAINS = {"validate", "fit", "pretrain", "evaluate"}


def test_what_retrains_after_version_0_1_is_known(frozen):
    table = read_yaml(TABLE)
    assert {name for name in STEPS if fingerprint(name) != table[name]["now"]} == RETRAINS
    assert {text.split()[0] for text in stale(frozen)} == RETRAINS
    fits = {text for text in stale(frozen) if text.startswith("fit")}
    assert len(fits) == len(list(frozen.root.glob("data/*/cells/*/model")))
