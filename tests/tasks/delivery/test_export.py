"""What others run decides as the evaluation did, or is not written."""

import sys

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from tasks.delivery.export import export
from tasks.documents.manifest import About
from tasks.models.openvino import OpenVinoVerdict
from tasks.models.triton import configuration, quoted
from tasks.models.verdict import VerdictModel
from tasks.store.champion import champion, promote
from tasks.store.opening import store_of
from tasks.store.releases import publish
from tasks.workspace.errors import DataError, ExtraError, StoreError
from tasks.workspace.files import write_rows
from tasks.workspace.paths import INSPECT, Workspace
from tests.tasks.models.test_pixels import release


def publish_one(workspace, number, kind=np.uint8, off=0.0):
    """A release whose scores.csv says what its file gives, plus `off`; it becomes the champion."""
    folder = workspace.root.parent / f"made {number}"
    release(folder, deep=kind == np.uint16, threshold=0.5 + number / 1000, size=[32, 32])
    rows = []
    for path in sorted(workspace.images("cap").rglob("*.png")):
        pixels = np.asarray(Image.open(path)).reshape(40, 50, -1)
        score, decision = VerdictModel(folder / INSPECT).verdict(pixels)
        name = path.relative_to(workspace.images("cap")).as_posix()
        rows.append({"path": name, "score": repr(score + off), "decision": decision})
    write_rows(folder / "scores.csv", ["path", "score", "decision"], rows)
    store = store_of(workspace)
    about = About(algorithm="padim")
    promote(store, "cap", publish(folder, "cap", store, about), reason="test", by="test")


@pytest.fixture
def workspace(tmp_path):
    made = Workspace(tmp_path / "ws")
    (made.root / ".dvc").mkdir(parents=True)
    (made.root / "params.yaml").write_text("line: {}")
    folder = made.images("cap") / "test" / "good"
    folder.mkdir(parents=True)
    (made.product("cap") / "product.yaml").write_text("algorithms: [padim]\n")
    random = np.random.default_rng(0)
    for number in range(6):
        level = 40 * number
        pixels = random.integers(level, level + 40, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return made


def test_a_repository_of_triton_holds_the_file_and_its_shapes(workspace, tmp_path):
    publish_one(workspace, 0)
    version = export(workspace, "cap", "triton", tmp_path / "models")
    assert version == tmp_path / "models" / "cap" / "1"
    session = onnxruntime.InferenceSession(version / "model.onnx")
    said = (version.parent / "config.pbtxt").read_text()
    assert said.startswith('name: "cap"\nbackend: "onnxruntime"\nmax_batch_size: 0\n')
    assert 'input [ { name: "image" data_type: TYPE_UINT8 dims: [-1, -1, -1] } ]' in said
    assert said.count("input [") == len(session.get_inputs()) == 1
    assert said.count("output [") == len(session.get_outputs())
    assert 'name: "score" data_type: TYPE_FP64 dims: [1] reshape { shape: [] }' in said
    assert 'name: "decision" data_type: TYPE_INT64' in said and "TYPE_FP32 dims: [-1, -1]" in said
    assert champion(store_of(workspace), "cap").release in said


def test_the_next_release_is_the_next_version_and_the_same_one_is_kept(workspace, tmp_path):
    publish_one(workspace, 0)
    first = champion(store_of(workspace), "cap").release
    made = [export(workspace, "cap", "triton", tmp_path).name for _ in range(2)]
    publish_one(workspace, 1)
    made.append(export(workspace, "cap", "triton", tmp_path).name)
    assert "versions: [ 2 ]" in (tmp_path / "cap" / "config.pbtxt").read_text()
    made.append(export(workspace, "cap", "triton", tmp_path, first).name)
    assert made == ["1", "1", "2", "1"]
    assert "versions: [ 1 ]" in (tmp_path / "cap" / "config.pbtxt").read_text()


@pytest.mark.parametrize("form", ["triton", "openvino"])
def test_what_departs_from_the_evaluation_is_not_written(workspace, tmp_path, form):
    if form == "openvino":
        pytest.importorskip("openvino", reason="pip install inspectline[openvino]")
    publish_one(workspace, 0, off=0.1)
    with pytest.raises(DataError, match=r"of cap departs from the evaluation: .*0\.png"):
        export(workspace, "cap", form, tmp_path / "to")
    assert not any((tmp_path / "to").glob("*"))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_openvino_decides_from_pixels_as_the_line_does(workspace, tmp_path, kind):
    pytest.importorskip("openvino", reason="pip install inspectline[openvino]")
    publish_one(workspace, 0, kind)
    folder = export(workspace, "cap", "openvino", tmp_path / "to")
    model = OpenVinoVerdict(folder / "inspect.xml")
    assert model.deep == (kind == np.uint16)
    known = VerdictModel(tmp_path / "made 0" / INSPECT)
    pixels = np.random.default_rng(1).integers(0, 255, (61, 47, 3), np.uint8)  # of another size
    score, decision = model.verdict(pixels)
    assert (pytest.approx(score, rel=1e-4), decision) == known.verdict(pixels)
    assert {path.name for path in folder.iterdir()} == {
        *("inspect.xml", "inspect.bin", "model.xml", "model.bin", "manifest.json"),
        "threshold.json",
    }
    assert export(workspace, "cap", "openvino", tmp_path / "to") == folder  # once more


def test_a_folder_that_is_something_else_is_left_alone(workspace, tmp_path):
    pytest.importorskip("openvino", reason="pip install inspectline[openvino]")
    publish_one(workspace, 0)
    with pytest.raises(DataError, match="is there and is no export"):
        export(workspace, "cap", "openvino", workspace.root / "data")
    assert (workspace.product("cap") / "product.yaml").is_file()


def test_a_release_without_the_file_is_named(workspace, tmp_path):
    folder = tmp_path / "made"
    release(folder, size=[32, 32])
    (folder / INSPECT).unlink()
    store = store_of(workspace)
    made = publish(folder, "cap", store, About(algorithm="padim"))
    with pytest.raises(StoreError, match=r"has no inspect\.onnx"):
        export(workspace, "cap", "triton", tmp_path / "to", made)


def test_a_missing_openvino_is_named(workspace, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    publish_one(workspace, 0)
    with pytest.raises(ExtraError, match=r"inspectline\[openvino\]"):
        export(workspace, "cap", "openvino", tmp_path / "to")


def test_a_configuration_is_one_that_triton_reads(workspace, tmp_path):
    """With the definition that NVIDIA's client ships."""
    reads = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="pip install tritonclient[grpc]"
    )
    from google.protobuf import text_format

    publish_one(workspace, 0)
    text = configuration(tmp_path / "made 0" / INSPECT, 'a "quoted" name', 3, "ab")
    read = text_format.Parse(text, reads.ModelConfig())
    assert read.name == 'a "quoted" name' and list(read.input[0].dims) == [-1, -1, -1]
    assert list(read.version_policy.specific.versions) == [3]


def test_quotes_of_names_are_escaped():
    assert quoted('a"\\b') == '"a\\"\\\\b"'
