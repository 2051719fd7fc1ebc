"""inspect.onnx of a release gives from pixels what the line gives, for any geometry and size."""

import json
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tasks.documents.threshold import Thresholds
from tasks.models.pixels import write_inspector
from tasks.models.release_model import ReleaseModel
from tasks.models.verdict import DECISIONS
from tasks.workspace.paths import INSPECT

QUIET = onnxruntime.SessionOptions()
QUIET.log_severity_level = 3


def tiny(path):
    """A model whose map is the mean of channels plus a gradient, and whose score is the mean of the
    map's square: nothing of the image is lost on the way. A name in it is one of ours."""
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "h", "w"])
    outputs = [
        helper.make_tensor_value_info("score", TensorProto.FLOAT, ["batch"]),
        helper.make_tensor_value_info("map", TensorProto.FLOAT, ["batch", 1, "h", "w"]),
    ]
    nodes = [
        helper.make_node("Mul", ["images", "weights"], ["threshold"]),
        helper.make_node("ReduceSum", ["threshold", "channels"], ["map"], keepdims=1),
        helper.make_node("Mul", ["map", "map"], ["square"]),
        helper.make_node("ReduceMean", ["square", "sides"], ["score"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("weights", TensorProto.FLOAT, [1, 3, 1, 1], [0.5, 0.3, 0.2]),
        helper.make_tensor("channels", TensorProto.INT64, [1], [1]),
        helper.make_tensor("sides", TensorProto.INT64, [3], [1, 2, 3]),
    ]
    graph = helper.make_graph(nodes, "tiny", [images], outputs, constants)
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


def release(folder, deep=False, accept=None, threshold=0.5, rule="model", **image):
    """A release with the tiny model, and a session of its file from pixels to verdict."""
    folder.mkdir(exist_ok=True)
    tiny(folder / "model.onnx")
    (folder / "fit.json").write_text(json.dumps({"image": image}))
    Thresholds(threshold=threshold, accept=accept, score_rule=rule, display_span=0.3).write(
        folder / "threshold.json"
    )
    write_inspector(folder, deep)
    return ReleaseModel.load(folder, "cpu"), session(folder)


def session(folder):
    return onnxruntime.InferenceSession(folder / INSPECT, QUIET, providers=["CPUExecutionProvider"])


def asked(given, pixels, **limits):
    """Score, decision, displayed score and map of pixels."""
    names = ["score", "decision", "displayed", "map"]
    limits = {name: np.array(value, np.float64) for name, value in limits.items()}
    score, decision, displayed, map = given.run(names, {"image": pixels} | limits)
    return float(score), DECISIONS[int(decision)], float(displayed), map


def picture(random, height, width, channels, kind=np.uint8):
    """A picture with edges and gradients, as parts have."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [
        np.sin(random.uniform(2, 30) * (x * a + y * b)) for a, b in random.normal(0, 1, (3, 2))
    ]
    noise = random.normal(0, 0.1, (height, width, 3))
    unit = (0.5 + 0.3 * np.stack(waves, 2) + noise).clip(0, 1)[..., :channels]
    return (unit * np.iinfo(kind).max).astype(kind)


GEOMETRIES = [
    {"size": 32},
    {"size": [32, 48], "color": "grey"},
    {"size": [32, 48], "resize": "pad"},
    {"size": [48, 32], "resize": "pad", "roi": [3, 5, 41, 17]},
    {"size": [32, 48], "resize": "crop"},
    {"size": [48, 32], "resize": "crop", "color": "grey", "roi": [2, 1, 20, 30]},
    {"size": 64, "tile": 32},
    {"size": [48, 72], "tile": 32, "resize": "pad"},
    {"size": [48, 72], "tile": 40, "resize": "crop", "roi": [0, 0, 40, 30]},
]


@pytest.mark.parametrize("image", GEOMETRIES, ids=str)
@pytest.mark.parametrize("rule", ["model", "max", "top"])
def test_pixels_give_what_the_line_gives(tmp_path, image, rule):
    model, given = release(tmp_path, rule=rule, **image)
    random = np.random.default_rng(len(str(image)))
    for height, width in ((45, 60), (64, 64), (33, 47), (160, 230), (301, 45), (40, 900)):
        for channels in (1, 3):
            pixels = picture(random, height, width, channels)
            found = model.inspector.inspect(pixels / np.float32(255))
            score, decision, displayed, map = asked(given, pixels)
            told = model.result(found)
            assert score == pytest.approx(found.score, rel=5e-5, abs=5e-5)
            assert map.shape == found.map.shape
            np.testing.assert_allclose(
                map, found.map, atol=1e-4
            )  # places of long sides, in float32
            if abs(found.score - 0.5) > 1e-4:
                assert decision == told["decision"]
            assert displayed == pytest.approx(told["displayed"], abs=0.05)


def test_limits_are_inputs_with_those_of_the_release_as_defaults(tmp_path):
    _, given = release(tmp_path, threshold=0.5, accept=0.2, size=32)
    pixels = picture(np.random.default_rng(1), 40, 50, 3)
    score = asked(given, pixels)[0]
    for threshold, accept, expected in (
        (score, -math.inf, "review"),  # a score at a threshold is not above it
        (score, score, "good"),
        (score, math.inf, "good"),
        (score - 1e-9, math.inf, "defect"),
        (score + 1, score - 1e-9, "review"),
        (score - 1e-9, score + 1, "defect"),  # the threshold bounds what is accepted
    ):
        _, decision, displayed, _ = asked(given, pixels, threshold=threshold, accept=accept)
        assert decision == expected
        assert (displayed > 100) == (decision == "defect")
    by_default = "defect" if score > 0.5 else "review" if score > 0.2 else "good"
    assert asked(given, pixels)[1] == by_default


def test_a_release_without_a_band_sends_nothing_to_a_person(tmp_path):
    _, given = release(tmp_path, threshold=0.5, size=32)
    pixels = picture(np.random.default_rng(1), 40, 50, 3)
    score = asked(given, pixels)[0]
    assert {asked(given, pixels, threshold=score + d)[1] for d in (-1e-9, 0, 9)} == {
        "defect",
        "good",
    }


def test_displayed_scores_keep_their_ends(tmp_path):
    _, given = release(tmp_path, size=32)
    pixels = picture(np.random.default_rng(1), 40, 50, 3)
    assert asked(given, pixels, threshold=-1e9)[2] == 9999
    assert asked(given, pixels, threshold=1e9)[2] == -9999


@pytest.mark.parametrize("used", [None, 12])
def test_a_product_with_deep_images_takes_them_and_others_as_they_are(tmp_path, used):
    model, given = release(tmp_path, deep=True, size=32, bits=used)
    random = np.random.default_rng(3)
    deep = picture(random, 50, 70, 3, np.uint16) >> (0 if used is None else 4)
    found = model.inspector.inspect(deep / np.float32(65535))
    assert asked(given, deep)[0] == pytest.approx(found.score, rel=1e-5)
    flat = picture(random, 50, 70, 1)
    found = model.inspector.inspect(flat / np.float32(255))
    assert asked(given, flat.astype(np.uint16) * 257)[0] == pytest.approx(found.score, rel=1e-5)


@pytest.mark.parametrize(
    ("image", "shape"),
    [
        ({"size": 32, "roi": [10, 0, 32, 32]}, (40, 41, 3)),
        ({"size": 32, "roi": [0, 10, 32, 32]}, (41, 40, 1)),
        ({"size": 32}, (40, 40, 4)),
        ({"size": 32}, (40, 40, 2)),
    ],
)
def test_an_image_that_does_not_fit_is_an_error_and_no_verdict(tmp_path, image, shape):
    _, given = release(tmp_path, **image)
    with pytest.raises(Exception, match=r"(?i)bounds|broadcast|expand"):
        asked(given, np.zeros(shape, np.uint8))


def test_a_score_that_is_no_number_is_a_defect(tmp_path):
    _, given = release(tmp_path, size=32)
    pixels = picture(np.random.default_rng(1), 40, 50, 3)
    assert asked(given, pixels, threshold=math.nan)[1] == "defect"
