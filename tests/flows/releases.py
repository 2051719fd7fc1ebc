"""A small release that needs no framework, for tests of what inspects."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

from ad_models.imagenet import MEAN, STD
from tasks.documents.manifest import About
from tasks.models.pixels import write_inspector
from tasks.store.champion import promote
from tasks.store.opening import store_of
from tasks.store.releases import publish
from tasks.workspace.files import write_json, write_rows
from tasks.workspace.paths import CARD, MODEL, ONNX, Workspace

SHAPE = 40, 60, 3  # of an image
VALUES = {"bright": 200, "dark": 50}  # name of an image -> its grey


def made_release(root: Path, pixels: bool = False) -> Workspace:
    """A workspace with a champion of `plate` in ONNX form: the score is the mean of an image, and
    above 0.5 it is a defect. Beside it lie bright.png and dark.png. pixels: with inspect.onnx."""
    (root / ".dvc").mkdir()
    (root / "params.yaml").write_text("line: {device: auto}")
    rows = [{"path": f"{name}.png", "score": score_of(value)} for name, value in VALUES.items()]
    images = Workspace(root).images("plate")
    images.mkdir(parents=True)
    for name, value in VALUES.items():
        picture(root / f"{name}.png", value)
        picture(images / f"{name}.png", value)
    folder = root / "made"
    folder.mkdir()
    onnx.save(mean_of_images(), folder / ONNX)
    (folder / MODEL).touch()
    write_json(folder / CARD, {"image": {"size": 32}})
    limits = {"threshold": 0.5, "accept": 0.5, "pixel_threshold": 0.5, "map_top": 1.0}
    write_json(folder / "threshold.json", limits)
    write_rows(folder / "scores.csv", ["path", "score"], rows)
    if pixels:
        write_inspector(folder, deep=False)
    store = store_of(Workspace(root))
    release = publish(folder, "plate", store, About(algorithm="padim"))
    promote(store, "plate", release, reason="test", by="test")
    return Workspace(root)


def score_of(value: int) -> float:
    """The mean of an image of one grey, normalised as a model sees it."""
    return float(np.mean((value / 255 - np.array(MEAN)) / np.array(STD)))


def picture(path: Path, value: int) -> Path:
    """An image of one grey."""
    Image.fromarray(np.full(SHAPE, value, np.uint8)).save(path)
    return path


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
