"""What ships decides as what was evaluated, and is refused where it does not."""

import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from ad_models import Batch, Detector, create
from tasks.images.read_image import read_image
from tasks.models.export import export_onnx
from tasks.models.inspector import Inspector
from tasks.models.onnx import OnnxDetector
from tasks.models.quantise import convolutions_to_quantise
from tasks.promotion.golden import golden
from tasks.promotion.trial import departure, differences
from tasks.spec.schema import Gates
from tasks.workspace.files import write_json
from tasks.workspace.paths import CARD, MODEL, ONNX


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A fitted PatchCore with its ONNX file, images, and the rows of its scores.csv."""
    folder = tmp_path_factory.mktemp("release")
    rng = np.random.default_rng(0)
    names = [f"{n}.png" for n in range(12)]
    for name in names:
        Image.fromarray(rng.integers(0, 255, (48, 48, 3), dtype=np.uint8)).save(folder / name)
    detector = create("patchcore", backbone="resnet18", weights="random", ratio=0.5)
    write_json(folder / CARD, {"image": {"size": [64, 64]}})
    seen = np.stack([_preprocess()(read_image(folder / name)) for name in names[:6]])
    detector.fit([Batch(torch.from_numpy(seen))]).save(folder / MODEL)
    inspector = Inspector.load(folder)
    scores = [inspector.inspect(read_image(folder / name)).score for name in names]
    export_onnx(folder, (64, 64))
    rows = [{"path": n, "score": repr(s)} for n, s in zip(names, scores, strict=True)]
    return folder, rows


def _preprocess():
    from tasks.images.preprocess import Preprocess
    from tasks.spec.schema import Image as Spec

    return Preprocess(Spec(size=64))


def middle(rows):
    return float(np.median([float(row["score"]) for row in rows]))


def test_a_release_is_run_by_onnx_on_the_cpu_and_agrees(release):
    folder, rows = release
    inspector = Inspector.load(folder, "cpu")
    assert isinstance(inspector.detector, OnnxDetector)
    assert differences(inspector, folder, rows, middle(rows), tolerance=1e-3) == []


def test_a_changed_decision_is_found(release):
    folder, rows = release
    inspector = Inspector.load(folder, "cpu")
    threshold = middle(rows)
    wrong = [dict(row) for row in rows]
    worst = max(wrong, key=lambda row: float(row["score"]))
    worst["score"] = repr(threshold - 1e-9)
    found = differences(inspector, folder, wrong, threshold, tolerance=1e9)
    assert len(found) == 1 and f"{worst['path']} is decided otherwise" in found[0]


def test_a_score_that_is_off_is_found(release):
    folder, rows = release
    inspector = Inspector.load(folder, "cpu")
    wrong = [dict(row) for row in rows]
    wrong[0]["score"] = repr(float(wrong[0]["score"]) * 1.05)
    found = differences(inspector, folder, wrong, 0.0001, tolerance=1e-3)
    assert [line.split()[0] for line in found].count("0.png") == 1


def test_golden_images_lie_near_the_threshold_and_over_the_range():
    scores = list(np.linspace(0, 100, 201))
    chosen = golden(scores, 30.0, count=20)
    assert len(chosen) == 20
    assert {scores.index(s) for s in (29.5, 30.0, 30.5)} <= set(chosen)
    assert 0 in chosen and 200 in chosen
    assert golden([1.0, 2.0], 1.5) == [0, 1]


def test_eight_bits_are_smaller_and_score_much_the_same(release, tmp_path, monkeypatch):
    folder, rows = release
    for name in (CARD, MODEL):
        shutil.copy(folder / name, tmp_path / name)
    monkeypatch.setattr(Detector, "export", lambda _, path, __: shutil.copy(folder / ONNX, path))
    images = [read_image(folder / row["path"]) for row in rows]
    export_onnx(tmp_path, (64, 64), [_preprocess()(image)[None] for image in images[:6]])
    assert (tmp_path / ONNX).stat().st_size < 0.5 * (folder / ONNX).stat().st_size
    float32 = np.array([float(row["score"]) for row in rows])
    scores = np.array([found.score for found in Inspector.load(tmp_path).inspect_all(images)])
    assert 1e-6 < np.abs(scores - float32).max() < 0.05 * float32.max()

    # the nearest entry is looked for in 8 bits, for each image alone
    assert "MatMulInteger" in [node.op_type for node in onnx.load(tmp_path / ONNX).graph.node]
    detector, seen = OnnxDetector(tmp_path / ONNX), np.stack([_preprocess()(i) for i in images])
    one_by_one = [detector.predict(image[None]).score[0] for image in seen]
    np.testing.assert_allclose(detector.predict(seen).score, one_by_one, rtol=1e-5)

    # what comes in floats is pooled in floats: in 8 bits it takes 40 times as long
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    onnxruntime.InferenceSession(tmp_path / ONNX, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "run.onnx").graph.node
    (pooled,) = [node.input[0] for node in nodes if node.op_type == "MaxPool"]
    assert [node.op_type for node in nodes if pooled in node.output] == ["Conv"]

    # the gate refuses it at the parity of a float model, and accepts it where some is allowed
    levels = np.sort(float32)
    widest = int(np.diff(levels).argmax())
    threshold = float(levels[widest : widest + 2].mean())  # far from each score: none crosses it
    small = Inspector.load(tmp_path, "cpu")
    refused = differences(small, folder, rows, threshold, tolerance=Gates().parity)
    assert refused and all("scores" in one for one in refused)
    assert differences(small, folder, rows, threshold, tolerance=0.1) == []
    crossed = float(max(scores[0], float32[0]) + min(scores[0], float32[0])) / 2
    changed = differences(small, folder, rows, crossed, tolerance=0.1)
    assert any(one.startswith("0.png is decided otherwise") for one in changed)


def test_a_reason_names_a_few_images():
    assert departure("it", [], 1e-3) == []
    assert departure("it", ["a", "b"], 1e-3) == [
        "it departs from the evaluation: a; b (gates.parity allows 0.001 of the threshold)"
    ]
    (reason,) = departure("it", list("abcde"), 1e-3)
    assert "a; b; c; and 2 more (" in reason


def test_what_stays_float(release):
    """The first layer, which sees colours, the blur of the map, which sees one channel, and the
    pooling of an embedding, which sees a few of a layer's channels at a time."""
    model = onnx.load(release[0] / ONNX)
    inputs = {tensor.name: tensor.dims[1] for tensor in model.graph.initializer if tensor.dims[1:]}
    convolutions = {n.name: inputs[n.input[1]] for n in model.graph.node if n.op_type == "Conv"}
    chosen = convolutions_to_quantise(model)
    assert {convolutions[name] for name in set(convolutions) - set(chosen)} == {1, 2, 3}
    assert len(chosen) > 10
