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
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.images.resample import Array

LEVELS = 127  # of a number in 8 bits, on each side of zero
# Where only comparisons read a table, no score has its rounding. With the first output of each that
# is not a number of the table.
COMPARISONS = {"ArgMin": 0, "ArgMax": 0, "Less": 0, "Greater": 0, "TopK": 1, "Shape": 0}
INPUTS = 16  # fewest input channels of a quantised convolution: the first layer stays float


def quantise(path: Path, images: Iterable[Array]) -> None:
    """Replace model.onnx by its 8-bit form, calibrated on preprocessed images (B, 3, H, W)."""
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch, _silent():
        folded, small = Path(scratch) / "folded.onnx", Path(scratch) / "int8.onnx"
        quant_pre_process(path, folded, skip_symbolic_shape=True)  # batch norms go into the weights
        quantize_static(
            folded,
            small,
            _Reader(images),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=convolutions_to_quantise(onnx.load(folded)),
        )
        model = onnx.load(small)
        pool_floats(model.graph)
        search_in_8_bits(model.graph)
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


def search_in_8_bits(graph: GraphProto) -> None:
    """Multiply in 8 bits by constant matrices (D, N) where the products are only compared, as in a
    search for the nearest of N vectors. Now and then the second nearest is found."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    for node in [node for node in graph.node if node.op_type == "MatMul"]:
        matrix, maker = constants.get(node.input[1]), makers.get(node.input[0])
        if matrix is None or len(matrix.dims) != 2 or not _only_compared(node.output[0], graph):
            continue
        values, factor = numpy_helper.to_array(matrix), np.float32(1)
        if maker and maker.op_type == "Mul" and (given := constants.get(maker.input[1])):
            factor = numpy_helper.to_array(given) if not given.dims else factor
        steps, tensors = _product_in_8_bits(node, values, values.mean(axis=1) * factor)
        at = list(graph.node).index(node)
        graph.node.remove(node)
        for place, step in enumerate(steps, start=at):
            graph.node.insert(place, step)
        graph.initializer.extend(tensors)
        if not any(matrix.name in other.input for other in graph.node):
            graph.initializer.remove(matrix)


def _product_in_8_bits(
    node: NodeProto, matrix: Array, centre: Array
) -> tuple[list[NodeProto], list[TensorProto]]:
    """Nodes in place of a product with a matrix (D, N), and their constants. centre (D,): about the
    mean of what is multiplied, which may be far from the origin: 8 bits hold the difference."""
    (result,) = node.output
    scales = np.abs(matrix).max(axis=0).clip(np.finfo(np.float32).tiny) / LEVELS
    constants = {
        f"{result}_centre": centre,
        f"{result}_int8": np.round(matrix / scales).astype(np.int8),
        f"{result}_scales": scales,
        f"{result}_of_centre": centre @ matrix,
    }
    from_centre, rounded, scale, zero, sums, floats, both, product = (
        f"{result}_{name}"
        for name in ("moved", "uint8", "scale", "zero", "sums", "floats", "both", "product")
    )
    mean, small, spread, shift = constants
    steps = [
        helper.make_node("Sub", [node.input[0], mean], [from_centre]),
        helper.make_node("DynamicQuantizeLinear", [from_centre], [rounded, scale, zero]),
        helper.make_node("MatMulInteger", [rounded, small, zero], [sums]),
        helper.make_node("Cast", [sums], [floats], to=TensorProto.FLOAT),
        helper.make_node("Mul", [scale, spread], [both]),
        helper.make_node("Mul", [floats, both], [product]),
        helper.make_node("Add", [product, shift], [result]),  # ONNX Runtime makes one step of them
    ]
    return steps, [numpy_helper.from_array(value, name) for name, value in constants.items()]


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
    def __init__(self, images: Iterable[Array]) -> None:
        self.images: Iterator[Array] = iter(images)

    def get_next(self) -> dict[str, Array] | None:
        image = next(self.images, None)
        return None if image is None else {"images": image}


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
