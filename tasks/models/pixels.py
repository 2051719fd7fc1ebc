"""One ONNX file from a camera's pixels to the verdict: `inspect.onnx` of a release.

It is the release's model.onnx with all that the line does before and after it in the same graph:
region of interest, brightness, colour, resize, normalisation, tiles; then the joined map at the
region's size, the score, the decision and the displayed score. So any ONNX Runtime, in any
language, inspects what the camera gives. Antialiased resize needs operator set 18.

Input `image`: (H, W, 3) RGB or (H, W, 1) grey, of any size, uint8; uint16 where the product has
such images, and then a value of 8 bits is multiplied by 257. Inputs with the release's values as
defaults: `threshold`, above which a score is a defect, and `accept`, above which, where it is
lower, a person looks at the part. Outputs: `score` and `displayed` (float64; 100 is the
threshold), `decision` (int64; 0 good, 1 review, 2 defect; a score that is no number is a defect)
and `map` (h, w), float32, of the region of interest. An image that does not hold the region of
interest, or has another number of channels, is an error of the runtime.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ad_models.errors import ExportError
from ad_models.imagenet import MEAN, STD
from tasks.decisions.display import TOP as HIGHEST
from tasks.decisions.score_rule import TOP
from tasks.documents.threshold import Thresholds
from tasks.images.preprocess import GREY, gain
from tasks.images.tiles import tile_offsets, tile_weights
from tasks.models.release_model import display_span, read_decision
from tasks.models.verdict import DECISIONS
from tasks.spec.policy_names import ScoreRule
from tasks.spec.read import check
from tasks.spec.schema import Image
from tasks.workspace.paths import CARD, INSPECT, ONNX

OPSET = 18  # the first one with antialiased resize
PREFIX, MODEL = "line/", "model/"  # of our names, and of the model's


class Graph:
    """Nodes that are put before and behind those of a model."""

    def __init__(self, prefix: str) -> None:
        self.prefix = PREFIX + prefix
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node with one output; the output's name."""
        output = name or f"{self.prefix}{len(self.nodes)}"
        self.add(kind, inputs, [output], **attributes)
        return output

    def add(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any
    ) -> None:
        """Add a node with several outputs."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def constant(self, values: Any, kind: type = np.float32, name: str = "") -> str:
        """The name of an array of constants."""
        from onnx import numpy_helper

        name = name or f"{self.prefix}constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, kind), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def cast(self, value: str, kind: type) -> str:
        from onnx import helper

        return self("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(kind)))

    def sides(self, value: str, first: int) -> tuple[str, str]:
        """Sizes (1,) of two axes of a tensor, from `first` on."""
        shape = self("Shape", value)
        return tuple(  # type: ignore[return-value]
            self("Slice", shape, self.integers(axis), self.integers(axis + 1))
            for axis in (first, first + 1)
        )

    def sized(self, images: str, region: Sequence[str], smooth: bool) -> str:
        """Images (N, C, H, W) with the height and width of `region`, (1,) each; smooth:
        antialiased."""
        before = self("Slice", self("Shape", images), self.integers(0), self.integers(2))
        sizes = self("Concat", before, *region, axis=0)
        return self(
            "Resize",
            images,
            "",
            "",
            sizes,
            mode="linear",
            antialias=int(smooth),
            exclude_outside=int(smooth),  # weights of what is inside alone: as `resize_image`
            coordinate_transformation_mode="half_pixel",
        )


def write_inspector(folder: Path, deep: bool = False) -> None:
    """Write inspect.onnx beside a release's model.onnx; nothing where there is none.

    deep: whether the product has images of 16 bits.
    """
    import onnx

    if not (folder / ONNX).is_file():
        return
    model = onnx.load(folder / ONNX)
    made = joined(model, image_of(folder), folder, np.uint16 if deep else np.uint8)
    onnx.save(made, folder / INSPECT)


def image_of(folder: Path) -> Image:
    """What the model in a folder is shown of an image, by its card."""
    card = folder / CARD
    return check(Image, json.loads(card.read_text())["image"], card)


def joined(model: Any, spec: Image, folder: Path, pixels: type) -> Any:
    """The model with preprocessing and decision in its graph."""
    from onnx import checker, compose, helper

    if model.opset_import[0].version < OPSET:
        raise ExportError(f"{ONNX} has operator set {model.opset_import[0].version}, not {OPSET}")
    model = compose.add_prefix(model, MODEL)  # or a name of its own could be one of ours
    graph = model.graph
    decision = read_decision(folder)
    before, behind = Graph("before"), Graph("behind")
    region = seen(before, spec, pixels)
    whole = together(behind, spec, f"{MODEL}map")
    score = scored(behind, spec, whole, decision.score_rule)
    judged(behind, decision, score)
    restored(behind, spec, whole, region)
    nodes = [*before.nodes, *graph.node, *behind.nodes]
    kinds = {"score": np.float64, "decision": np.int64, "displayed": np.float64, "map": np.float32}
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*before.constants, *behind.constants])

    def value(name: str, kind: Any, sides: Sequence[Any]) -> Any:
        made = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        return helper.make_tensor_value_info(name, made, sides)

    graph.input.append(value("image", pixels, ["rows", "columns", "channels"]))
    graph.input.extend(value(name, np.float64, []) for name in ("threshold", "accept"))
    for name, kind in kinds.items():
        graph.output.append(value(name, kind, ["height", "width"] if name == "map" else []))
    helper.set_model_props(model, {"decisions": ",".join(DECISIONS)})
    checker.check_model(model)
    return model


def seen(graph: Graph, spec: Image, pixels: type) -> tuple[str, str]:
    """Add what makes the model's `images` of `image`; height and width, (1,) each, of the region
    of interest."""
    height, width = graph.sides("image", 0)
    whole = "image"
    if spec.roi:  # an index that is outside is an error, where a slice would be shorter
        left, top, across, down = spec.roi
        rows, columns = (range(top, top + down), range(left, left + across))
        whole = graph("Gather", whole, graph.integers(*rows), axis=0)
        whole = graph("Gather", whole, graph.integers(*columns), axis=1)
        height, width = graph.integers(down), graph.integers(across)
    scale = graph.constant(np.iinfo(pixels).max)  # type: ignore[arg-type]
    unit = graph("Div", graph.cast(whole, np.float32), scale)
    if spec.bits is not None:
        unit = graph("Mul", unit, graph.constant(gain(spec.bits)))
    colours = graph("Expand", unit, graph.integers(1, 1, 3))
    if spec.color == "grey":
        colours = graph("MatMul", colours, graph.constant(np.array(GREY)[:, None]))
    planes = graph("Unsqueeze", graph("Transpose", colours, perm=[2, 0, 1]), graph.integers(0))
    fitted = fit(graph, spec, planes, height, width)
    mean, std = (graph.constant(np.reshape(values, (1, 3, 1, 1))) for values in (MEAN, STD))
    normal = graph("Div", graph("Sub", fitted, mean), std)
    cut(graph, spec, normal)
    return height, width


def fit(graph: Graph, spec: Image, planes: str, height: str, width: str) -> str:
    """Planes (1, C, H, W) at the spec's size: as `Preprocess._fit`."""
    h, w = spec.size
    if spec.resize == "stretch":
        return graph.sized(planes, [graph.integers(h), graph.integers(w)], smooth=True)
    inner = inner_sides(graph, spec, height, width)
    resized = graph.sized(planes, inner, smooth=True)
    first = [half(graph, graph.integers(n), side) for n, side in zip((h, w), inner, strict=True)]
    if spec.resize == "pad":
        last = [
            graph("Sub", graph("Sub", graph.integers(n), side), start)
            for n, side, start in zip((h, w), inner, first, strict=True)
        ]
        none = graph.integers(0, 0)
        pads = graph("Concat", none, *first, none, *last, axis=0)
        return graph("Pad", resized, pads, mode="edge")
    start = graph("Neg", graph("Concat", *first, axis=0))
    end = graph("Add", start, graph.integers(h, w))
    return graph("Slice", resized, start, end, graph.integers(2, 3))


def inner_sides(graph: Graph, spec: Image, height: str, width: str) -> list[str]:
    """Height and width, (1,) each, before padding or cropping: as `Preprocess._inner`."""
    sides = [graph.cast(side, np.float64) for side in (height, width)]
    sizes = [graph.constant([n], np.float64) for n in spec.size]
    scales = [graph("Div", size, side) for size, side in zip(sizes, sides, strict=True)]
    pick = "Min" if spec.resize == "pad" else "Max"
    scale = graph(pick, *scales)
    rounded = [graph("Round", graph("Mul", side, scale)) for side in sides]
    bounded = [graph(pick, side, size) for side, size in zip(rounded, sizes, strict=True)]
    return [graph.cast(side, np.int64) for side in bounded]


def half(graph: Graph, outer: str, inner: str) -> str:
    """Half of the difference, (1,), rounded down where it is positive; minus that of its opposite
    where it is negative."""
    return graph("Div", graph("Sub", outer, inner), graph.integers(2))


def cut(graph: Graph, spec: Image, image: str) -> None:
    """Add `images`, the tiles of an image (1, 3, h, w), row by row: as `cut_tiles`."""
    if spec.tile is None:
        graph("Identity", image, name=f"{MODEL}images")
        return
    axes, tiles = graph.integers(2, 3), []
    for y, x in places(spec):
        ends = graph.integers(y + spec.tile, x + spec.tile)
        tiles.append(graph("Slice", image, graph.integers(y, x), ends, axes))
    graph("Concat", *tiles, axis=0, name=f"{MODEL}images")


def places(spec: Image) -> list[tuple[int, int]]:
    """Top left corners of all tiles."""
    rows, columns = (tile_offsets(side, spec.tile or side) for side in spec.size)
    return [(y, x) for y in rows for x in columns]


def together(graph: Graph, spec: Image, maps: str) -> str:
    """One map (1, 1, h, w) of those of all tiles (N, 1, tile, tile): as `join_tiles`."""
    if spec.tile is None:
        return maps
    (h, w), tile = spec.size, spec.tile
    sums, weights = [], np.zeros((h, w), np.float32)
    for number, (y, x) in enumerate(places(spec)):
        weight = np.outer(tile_weights(y, h, tile), tile_weights(x, w, tile))
        weights[y : y + tile, x : x + tile] += weight
        one = graph("Slice", maps, graph.integers(number), graph.integers(number + 1))
        weighed = graph("Mul", one, graph.constant(weight))
        sides = graph.integers(0, 0, y, x, 0, 0, h - y - tile, w - x - tile)
        sums.append(graph("Pad", weighed, sides))
    return graph("Div", graph("Sum", *sums), graph.constant(weights))


def scored(graph: Graph, spec: Image, whole: str, rule: ScoreRule) -> str:
    """The score, float64, that is compared with the threshold: as `Inspection.by`."""
    if rule == "model":
        return exact(graph, graph("ReduceMax", f"{MODEL}score", keepdims=0))
    if rule == "max":
        return exact(graph, graph("ReduceMax", whole, keepdims=0))
    count = max(1, int(TOP * spec.size[0] * spec.size[1]))
    values = graph("Reshape", whole, graph.integers(-1))
    found, places_of = f"{graph.prefix}top", f"{graph.prefix}places"
    graph.add("TopK", [values, graph.integers(count)], [found, places_of])
    return graph("ReduceMean", graph.cast(found, np.float64), keepdims=0, name="score")


def exact(graph: Graph, score: str) -> str:
    """The output `score` of a float32."""
    return graph("Identity", graph.cast(score, np.float64), name="score")


def judged(graph: Graph, decision: Thresholds, score: str) -> None:
    """Add `decision` and `displayed`, with the limits of a release as defaults."""
    accept, reject = decision.limits
    threshold = graph.constant(reject, np.float64, "threshold")
    given = graph.constant(accept if accept < reject else math.inf, np.float64, "accept")
    fine, passed = (
        graph("LessOrEqual", score, limit) for limit in (graph("Min", given, threshold), threshold)
    )  # false for a score that is no number
    counted = [graph.cast(graph("Not", one), np.int64) for one in (fine, passed)]
    graph("Add", *counted, name="decision")
    line = graph.constant(100, np.float64)
    span = graph.constant(display_span(decision) / 100, np.float64)
    shown = graph("Add", line, graph("Div", graph("Sub", score, threshold), span))
    above = graph("Max", shown, graph.constant(math.nextafter(100, math.inf), np.float64))
    shown = graph("Where", passed, graph("Min", shown, line), above)
    ends = (graph.constant(end, np.float64) for end in (-HIGHEST, HIGHEST))
    graph("Clip", shown, *ends, name="displayed")


def restored(graph: Graph, spec: Image, whole: str, region: tuple[str, str]) -> None:
    """Add `map` at the size of the region of interest: as `Preprocess.restore`."""
    if spec.resize != "stretch":
        inner = inner_sides(graph, spec, *region)
        sizes = [graph.integers(side) for side in spec.size]
        if spec.resize == "pad":  # remove the padding
            first = [half(graph, n, side) for n, side in zip(sizes, inner, strict=True)]
            start = graph("Concat", *first, axis=0)
            end = graph("Add", start, graph("Concat", *inner, axis=0))
            whole = graph("Slice", whole, start, end, graph.integers(2, 3))
        else:  # put the visible part into its place
            first = [half(graph, side, n) for n, side in zip(sizes, inner, strict=True)]
            last = [
                graph("Sub", graph("Sub", side, n), start)
                for n, side, start in zip(sizes, inner, first, strict=True)
            ]
            none = graph.integers(0, 0)
            pads = graph("Concat", none, *first, none, *last, axis=0)
            whole = graph("Pad", whole, pads, graph("ReduceMin", whole, keepdims=0))
    sized = graph.sized(whole, region, smooth=False)
    graph("Squeeze", sized, graph.integers(0, 1), name="map")
