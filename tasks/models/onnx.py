"""A detector exported to ONNX, run by ONNX Runtime on the CPU."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ad_models import Prediction, load
from tasks.models.quantise import quantise
from tasks.workspace.paths import MODEL, ONNX


class OnnxDetector:
    """A model.onnx with the same `predict` as the detector it was exported from."""

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


def export_onnx(folder: Path, seen: tuple[int, int], normals: Sequence[Tensor] = ()) -> None:
    """Write model.onnx beside the folder's model, for images of `seen` height and width.

    It has 8 bits if there are `normals` to calibrate on: preprocessed images (B, 3, *seen). If the
    algorithm has no ONNX form, torch runs the release on every device.
    """
    detector = load(folder / MODEL)
    if not detector.no_export:
        detector.export(folder / ONNX, seen)
        if normals:
            quantise(folder / ONNX, normals)
