"""`pip install inspectline` is what inspects; a command that needs more says which extra."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from flows.cli import main
from tasks.models.device import inspecting_device
from tasks.workspace.errors import ExtraError
from tasks.workspace.extras import EXTRAS, lacking, require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {  # import name -> distribution, where they differ
    "botocore": "boto3",
    "OpenSSL": "pyopenssl",
    "cryptography": "pyopenssl",
    "cv2": "opencv-python-headless",
    "dvc_data": "dvc",
    "faiss": "faiss-cpu",
    "huggingface_hub": "timm",
    "markupsafe": "jinja2",
    "model_signing": "model-signing",
    "opentelemetry": "opentelemetry-sdk",
    "paho": "paho-mqtt",
    "sklearn": "scikit-learn",
}


def named(requirements):
    return {one.split(">")[0].split("[")[0].lower().replace("_", "-") for one in requirements}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_is_said_of_it(extra):
    given = PROJECT["optional-dependencies"]
    brings = named([*given[extra], *(given["gpu"] if extra == "line" else [])])
    wanted = {DISTRIBUTIONS.get(name, name) for name in EXTRAS[extra]}
    wanted = {name.lower().replace("_", "-") for name in wanted}
    assert wanted <= brings
    assert not wanted & named(PROJECT["dependencies"])


BEHIND = {
    "PIL",
    "anyio",
    "h11",
    "pydantic_core",
    "ruamel",
    "starlette",
    "yaml",
}  # of what we ask for


def test_every_extra_is_in_the_table():
    page = (ROOT / "docs/edge.md").read_text()
    told = re.findall(r"^\| `inspectline\[(\w+)\]`", page, re.M)
    assert set(told) == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_all_that_is_imported_is_of_the_runtime_or_of_an_extra():
    rooms = [ROOT / room for room in ("ad_models", "tasks", "flows")]
    found = {name for room in rooms for path in room.rglob("*.py") for name in imported(path)}
    runtime = {name.replace("-", "_") for name in named(PROJECT["dependencies"])} | BEHIND
    known = set().union(*EXTRAS.values()) | runtime | set(sys.stdlib_module_names)
    assert found - known == {"ad_models", "tasks", "flows"}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_what_trains_is_known_for_its_extra():
    known = {DISTRIBUTIONS.get(name, name) for names in EXTRAS.values() for name in names}
    given = PROJECT["optional-dependencies"]
    known = {name.lower().replace("_", "-") for name in known}
    assert named([*given["line"], *given["gpu"]]) - {"inspectline"} <= known


def test_a_missing_package_is_one_line_and_exit_code_2(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.split(".")[0] == "dvc"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "dvc", None)
    ended = CliRunner().invoke(main, ["init", str(tmp_path / "line")])
    assert ended.exit_code == 2
    assert ended.output == "Error: this needs dvc; pip install 'inspectline[line]'\n"


def test_a_module_of_no_extra_is_a_fault_of_the_program():
    assert lacking(ModuleNotFoundError(name="tasks.nothing")) is None
    assert require("json").dumps([]) == "[]"


def test_without_torch_a_release_inspects_on_the_cpu(monkeypatch):
    monkeypatch.setattr("tasks.models.device.find_spec", lambda name: None)
    assert inspecting_device("auto") == "cpu"
    with pytest.raises(ExtraError, match=r"inspectline\[gpu\]"):
        inspecting_device("cuda")
