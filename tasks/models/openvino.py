"""The files of a release as OpenVINO's IR, for Intel's CPUs, GPUs and NPUs."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.models.device import cpu_threads
from tasks.models.verdict import DECISIONS, with_bits
from tasks.workspace.extras import require

# Without it a CPU with AMX computes in bfloat16, and decides otherwise near the threshold
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


def write_ir(source: Path, target: Path) -> None:
    """Write `target`.xml and `target`.bin, the IR of an ONNX file, with all its digits: what is in
    8 bits there is so here too."""
    openvino = require("openvino")
    model = openvino.convert_model(source)
    antialias(model)
    openvino.save_model(model, target.with_suffix(".xml"), compress_to_fp16=False)


def antialias(model: Any) -> None:
    """Replace each antialiased resize by one that is: OpenVINO reads that of ONNX as a plain one.

    Its `bilinear_pillow` is the same function as ours: a triangle as wide as a source pixel is
    large, of what lies inside alone.
    """
    opset11 = require("openvino.opset11")

    for node in model.get_ordered_ops():
        if node.get_type_name() != "Interpolate" or not node.get_attributes()["antialias"]:
            continue
        images, sizes = node.input_value(0), node.input_value(1)
        rank = images.get_partial_shape().rank.get_length()
        sides = opset11.constant(np.array([rank - 2, rank - 1], np.int64))
        wanted = opset11.gather(sizes, sides, opset11.constant(np.int64(0)))
        none = [0] * rank
        made = opset11.interpolate(
            images, wanted, "bilinear_pillow", "sizes", none, none, axes=sides
        )
        node.output(0).replace(made.output(0))
    model.validate_nodes_and_infer_types()


class OpenVinoVerdict:
    """The IR of an inspect.onnx on the CPU: pixels in, verdict out."""

    def __init__(self, path: Path) -> None:
        """path: of the .xml, with the .bin beside it."""
        settings = EXACT | {"INFERENCE_NUM_THREADS": cpu_threads()}
        self.model = require("openvino").Core().compile_model(path, "CPU", settings)
        self.deep = self.model.input("image").element_type.to_string() in ("u16", "uint16_t")

    def verdict(self, pixels: np.ndarray) -> tuple[float, str]:
        """Score and decision of pixels (H, W, C), uint8 or uint16, C 1 or 3."""
        found = self.model({"image": with_bits(pixels, self.deep)})
        return float(found["score"]), DECISIONS[int(found["decision"])]
