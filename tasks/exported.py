"""A detector exported to ONNX, run by ONNX Runtime on the CPU."""

from pathlib import Path

import torch
from torch import Tensor

from ad_models import Prediction


class OnnxDetector:
    """A model.onnx that answers `predict` as the detector it was exported from does."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ["CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(path, options, providers=providers)

    def predict(self, images: Tensor) -> Prediction:
        """Score (B,) and map (B, 1, H, W) of float32 images (B, 3, H, W)."""
        score, maps = self.session.run(None, {"images": images.numpy()})
        return Prediction(torch.from_numpy(score), torch.from_numpy(maps))
