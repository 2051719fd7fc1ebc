"""An ONNX model in 8 bits: about half the time on CPUs with VNNI or AMX, with slightly different
scores.

Only convolutions with many channels are quantised, with one scale per channel. Distances,
likelihoods and the blur of the map stay float. The ranges of activations come from good images. The
gate checks how much scores change, and whether a decision changes.
"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from tasks.images.resample import Array

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


def pool_floats(graph: onnx.GraphProto) -> None:
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
