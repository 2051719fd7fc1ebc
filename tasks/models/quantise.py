"""An ONNX model in 8 bits: about half the time on CPUs with VNNI or AMX, with slightly different
scores.

Convolutions with many channels are quantised, with one scale per channel, and the search for the
nearest entry of a memory, with one scale per entry: its distance is then computed in floats.
Likelihoods and the blur of the map stay float too. The ranges of activations come from good images.
The gate checks how much scores change, and whether a decision changes.
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.images.resample import Array

LEVELS, ALL = 127, 255  # of a number in 8 bits on each side of zero, and in all
TINY = 1e-30  # the least scale
# Where only comparisons read a table, no score has its rounding. With the first output of each that
# is not a number of the table.
COMPARISONS = {"ArgMin": 0, "ArgMax": 0, "Less": 0, "Greater": 0, "TopK": 1, "Shape": 0}
INPUTS = 16  # fewest input channels of a quantised convolution: the first layer stays float


def quantise(path: Path, images: Iterable[Array]) -> None:
    """Replace model.onnx by its 8-bit form, calibrated on preprocessed images (B, 3, H, W)."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _silent():
        folded, small = Path(scratch) / "folded.onnx", Path(scratch) / "int8.onnx"
        quant_pre_process(path, folded, skip_symbolic_shape=True)  # batch norms go into the weights
        model = onnx.load(folded)
        chosen, reader = convolutions_to_quantise(model), _Reader(images, model, Path(scratch))
        quantize_static(
            folded,
            small,
            reader,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
        )
        model = onnx.load(small)
        pool_floats(model.graph)
        search_in_8_bits(model.graph, reader.spreads)
        onnx.save(model, small)
        small.replace(path)


def convolutions_to_quantise(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions with enough input channels."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and shapes.get(node.input[1], [0, 0])[1] >= INPUTS
    ]


def pool_floats(graph: GraphProto) -> None:
    """Keep ONNX Runtime from pooling in 8 bits what it has in floats, which takes 40 times as long.

    It rounds before a pooling what is rounded behind it, unless there is a step between them: here
    one that changes nothing.
    """
    makers = {name: node for node in graph.node for name in node.output}
    users = [(name, node) for node in graph.node for name in node.input]
    lowest = numpy_helper.from_array(np.finfo(np.float32).min, "lowest")
    for pool in [node for node in graph.node if node.op_type == "MaxPool"]:
        maker = makers.get(pool.input[0])
        if maker and maker.op_type == "Relu":
            maker = makers.get(maker.input[0])
        behind = {node.op_type for name, node in users if name == pool.output[0]}
        if "QuantizeLinear" not in behind or (maker and maker.op_type == "DequantizeLinear"):
            continue
        result, pool.output[0] = pool.output[0], f"{pool.output[0]}_pooled"
        between = helper.make_node("Max", [pool.output[0], lowest.name], [result])
        graph.node.insert(list(graph.node).index(pool) + 1, between)
        if lowest not in graph.initializer:
            graph.initializer.append(lowest)


@dataclass
class Spread:
    """Where the vectors lie that a search compares."""

    count: int
    total: Array  # (D,), sum
    low: Array  # (D,)
    high: Array  # (D,)

    @classmethod
    def of(cls, vectors: Array) -> Self:
        """Of vectors (..., D)."""
        flat = vectors.reshape(-1, vectors.shape[-1])
        total = flat.sum(axis=0, dtype=np.float64)
        return cls(len(flat), total, flat.min(axis=0), flat.max(axis=0))

    def __add__(self, other: Self) -> Self:
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return type(self)(self.count + other.count, self.total + other.total, low, high)

    def centre(self) -> Array:
        return (self.total / self.count).astype(np.float32)


def searches(graph: GraphProto) -> list[NodeProto]:
    """Products with constant matrices (D, N) that are only compared, as in a search for the nearest
    of N vectors."""
    matrices = {
        tensor.name
        for tensor in graph.initializer
        if len(tensor.dims) == 2 and tensor.data_type == TensorProto.FLOAT
    }
    return [
        node
        for node in graph.node
        if node.op_type == "MatMul" and node.input[1] in matrices
        if _only_compared(node.output[0], graph)
    ]


def search_in_8_bits(graph: GraphProto, spreads: Mapping[str, Spread]) -> None:
    """Multiply in 8 bits where products are only compared: now and then the second nearest is
    found. spreads: of the vectors of each such product, by the name of its output."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in searches(graph):
        matrix = constants[node.input[1]]
        steps, tensors = _product(node, numpy_helper.to_array(matrix), spreads[node.output[0]])
        at = list(graph.node).index(node)
        graph.node.remove(node)
        for place, step in enumerate(steps, start=at):
            graph.node.insert(place, step)
        graph.initializer.extend(tensors)
        if not any(matrix.name in other.input for other in graph.node):
            graph.initializer.remove(matrix)


def _product(
    node: NodeProto, matrix: Array, spread: Spread
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes in place of a product with a matrix (D, N), and their constants. Vectors are moved by
    their mean, for 8 bits hold less of what is far from the origin."""
    (result,) = node.output
    centre = spread.centre()
    low, high = min(0.0, *(spread.low - centre)), max(0.0, *(spread.high - centre))
    scale = max((high - low) / ALL, TINY)
    scales = np.abs(matrix).max(axis=0).clip(TINY) / LEVELS
    constants = {
        "centre": centre,
        "scale": np.float32(scale),
        "zero": np.uint8(np.round(-low / scale)),
        "int8": np.round(matrix / scales).astype(np.int8),
        "scales": (scale * scales).astype(np.float32),
        "of_centre": centre @ matrix,
    }
    mean, step, zero, small, both, shift = (f"{result}_{name}" for name in constants)
    moved, rounded, sums, floats, product = (
        f"{result}_{name}" for name in ("moved", "uint8", "sums", "floats", "product")
    )
    steps = [
        helper.make_node("Sub", [node.input[0], mean], [moved]),
        helper.make_node("QuantizeLinear", [moved, step, zero], [rounded]),
        helper.make_node("MatMulInteger", [rounded, small, zero], [sums]),
        helper.make_node("Cast", [sums], [floats], to=TensorProto.FLOAT),
        helper.make_node("Mul", [floats, both], [product]),
        helper.make_node("Add", [product, shift], [result]),
    ]
    named = {f"{result}_{name}": value for name, value in constants.items()}
    return steps, [numpy_helper.from_array(np.asarray(v), name) for name, v in named.items()]


def _only_compared(name: str, graph: GraphProto) -> bool:
    """Whether no output of the graph is computed from the values of that name."""
    values = {name}
    for node in graph.node:  # in the order of the computation
        if _holds_graphs(node):
            return False
        if values.intersection(node.input):
            values.update(node.output[: COMPARISONS.get(node.op_type)])
    return values.isdisjoint(output.name for output in graph.output)


def _holds_graphs(node: NodeProto) -> bool:
    """Whether it is a branch or a loop, which may read what is not among its inputs."""
    return any(
        given.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for given in node.attribute
    )


class _Reader(CalibrationDataReader):
    """Gives the images, and notes the spread of what the searches of a float model compare."""

    def __init__(self, images: Iterable[Array], model: onnx.ModelProto, scratch: Path) -> None:
        self.images: Iterator[Array] = iter(images)
        self.spreads: dict[str, Spread] = {}
        self.seen = {node.output[0]: node.input[0] for node in searches(model.graph)}
        if self.seen:
            model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in set(self.seen.values()))
            watched = scratch / "watched.onnx"
            onnx.save(model, watched)
            self.session = InferenceSession(watched, providers=["CPUExecutionProvider"])

    def get_next(self) -> dict[str, Array] | None:
        if (image := next(self.images, None)) is None:
            return None
        given = {"images": image}
        for name, vectors in self.seen.items():
            new = Spread.of(self.session.run([vectors], given)[0])
            self.spreads[name] = self.spreads[name] + new if name in self.spreads else new
        return given


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The quantiser logs to the root logger and prints advice that we already follow."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)
