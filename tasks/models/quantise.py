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

import onnx
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
        small.replace(path)


def convolutions_to_quantise(model: onnx.ModelProto) -> list[str]:
    """Names of the convolutions with enough input channels."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "Conv" and shapes.get(node.input[1], [0, 0])[1] >= INPUTS
    ]


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
