"""A command imports no package that it can do without: they take seconds and hundreds of MB."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from tasks.documents.manifest import About
from tasks.store.champion import promote
from tasks.store.opening import store_of
from tasks.store.releases import publish
from tasks.workspace.files import write_json
from tasks.workspace.paths import CARD, MODEL, ONNX, Workspace

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
    """A workspace with a champion in ONNX form: the score is the mean of an image."""
    root = tmp_path_factory.mktemp("released")
    (root / ".dvc").mkdir()
    (root / "params.yaml").write_text("line: {device: auto}")
    Image.fromarray(np.full((40, 60, 3), 200, np.uint8)).save(root / "bright.png")
    folder = root / "made"
    folder.mkdir()
    onnx.save(mean_of_images(), folder / ONNX)
    (folder / MODEL).touch()
    write_json(folder / CARD, {"image": {"size": 32}})
    limits = {"threshold": 0.5, "accept": 0.5, "pixel_threshold": 0.5, "map_top": 1.0}
    write_json(folder / "threshold.json", limits)
    store = store_of(Workspace(root))
    release = publish(folder, "plate", store, About(algorithm="padim"))
    promote(store, "plate", release, reason="test", by="test")
    return Workspace(root)


def mean_of_images():
    def value(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    nodes = [
        helper.make_node("ReduceMean", ["images", "sides"], ["score"], keepdims=0),
        helper.make_node("ReduceMean", ["images", "colours"], ["map"], keepdims=1),
    ]
    axes = [
        helper.make_tensor(name, TensorProto.INT64, [len(numbers)], numbers)
        for name, numbers in (("sides", [1, 2, 3]), ("colours", [1]))
    ]
    outputs = [value("score", "n"), value("map", "n", 1, 32, 32)]
    graph = helper.make_graph(nodes, "mean", [value("images", "n", 3, 32, 32)], outputs, axes)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


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


@pytest.mark.parametrize("words", [["results"], ["releases", "cap"], ["--help"], ["schema"]])
def test_what_only_reads_files_imports_little(trained, words):
    assert not (HEAVY | {"dvc", "numpy", "jinja2"}) & start(trained, *words)[2]


def test_a_run_with_nothing_to_do_needs_no_framework(copy):
    said, _, imported = start(copy, "run")
    assert "every cell is up to date" in said
    assert not HEAVY & imported
