"""The inspect.onnx of a release, run by ONNX Runtime on the CPU: pixels in, verdict out."""

from pathlib import Path

import numpy as np

from tasks.models.device import cpu_threads

DECISIONS = ("good", "review", "defect")  # by the number that the file gives
DEEP = 257  # a value of 8 bits times this is the same brightness with 16


class VerdictModel:
    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cpu_threads()
        options.log_severity_level = 3  # it warns of defaults that can be overridden
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        (image,) = self.session.get_inputs()
        self.deep = image.type == "tensor(uint16)"

    def verdict(self, pixels: np.ndarray) -> tuple[float, str]:
        """Score and decision of pixels (H, W, C), uint8 or uint16, C 1 or 3."""
        asked = {"image": with_bits(pixels, self.deep)}
        score, decision = self.session.run(["score", "decision"], asked)
        return float(score), DECISIONS[int(decision)]


def with_bits(pixels: np.ndarray, deep: bool) -> np.ndarray:
    """Pixels, uint8 or uint16, as uint16 where `deep` and as uint8 otherwise."""
    if deep == (pixels.dtype == np.uint16):
        return pixels
    if deep:
        return pixels.astype(np.uint16) * DEEP
    return ((pixels.astype(np.uint32) + DEEP // 2) // DEEP).astype(np.uint8)
