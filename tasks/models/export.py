"""Export a model to ONNX."""

from collections.abc import Sequence
from pathlib import Path

from ad_models import load
from tasks.images.resample import Array
from tasks.models.quantise import quantise
from tasks.workspace.paths import MODEL, ONNX


def export_onnx(folder: Path, seen: tuple[int, int], normals: Sequence[Array] = ()) -> None:
    """Write model.onnx beside the folder's model, for images of `seen` height and width.

    It has 8 bits if there are `normals` to calibrate on: preprocessed images (B, 3, *seen). If the
    algorithm has no ONNX form, torch runs the release on every device.
    """
    detector = load(folder / MODEL)
    if not detector.no_export:
        detector.export(folder / ONNX, seen)
        if normals:
            quantise(folder / ONNX, normals)
