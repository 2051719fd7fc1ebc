"""A detector exported to ONNX, run by ONNX Runtime on the CPU."""

from pathlib import Path

from tasks.images.resample import Array
from tasks.models.device import cpu_threads
from tasks.models.predictor import Scored


class OnnxDetector:
    """A model.onnx with the same scores as the detector it was exported from."""

    reconstructs = False

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = cpu_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)

    def predict(self, images: Array) -> Scored:
        """Score normalised images (B, 3, h, w)."""
        score, maps = self.session.run(None, {"images": images})
        return Scored(score, maps[:, 0])

    def reconstruct(self, images: Array) -> Array | None:
        """None: an exported model gives no reconstruction."""
        return None
