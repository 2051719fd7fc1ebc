"""What a release holds, and whether it does what was evaluated."""

import json
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from tasks.calibration import identity
from tasks.challenge import reported
from tasks.device import choose
from tasks.drift import LOOKS, MEASURES
from tasks.evaluate import latency
from tasks.files import read_rows, write_json, write_rows
from tasks.imaging.loader import ImageLoader
from tasks.imaging.preprocess import Preprocess
from tasks.inspector import Inspector
from tasks.provenance import provenance
from tasks.shipped import differences, export
from tasks.spec import Product, read_params, read_product
from tasks.workspace import MODEL, ONNX, Workspace

CALIBRATING = 32  # good images whose ranges an 8-bit model takes for its own
FROM_EVALUATION = ("metrics.json", "threshold.json", "details.json", "scores.csv")


def assemble(
    workspace: Workspace, product: str, algorithm: str, metrics: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Put together all that a release holds; what its manifest tells about it.

    Model, preprocessing, threshold, figures with intervals, and where all of it is from.
    """
    spec = read_product(workspace.root, product)
    shutil.copytree(workspace.model(product, algorithm), folder)
    for name in FROM_EVALUATION:
        shutil.copy(workspace.evaluation(product, algorithm) / name, folder / name)
    train = read_rows(workspace.validation(product) / "train.csv")
    write_rows(folder / LOOKS, MEASURES, [{name: row[name] for name in MEASURES} for row in train])
    write_json(folder / "provenance.json", provenance(workspace, product, algorithm))
    if spec.release.onnx:
        seen = normals(workspace.images(product), train, spec) if spec.release.int8 else []
        export(folder, spec.image.seen, seen)
    test_set = identity(reported(workspace, product, spec))
    return {"algorithm": algorithm, "metrics": metrics, "test_set": test_set}


def normals(images: Path, rows: list[dict[str, Any]], spec: Product) -> list[Tensor]:
    """Good training images, spread over all of them, as the algorithm sees them (B, 3, H, W)."""
    chosen = rows[:: max(1, len(rows) // CALIBRATING)][:CALIBRATING]
    paths = [images / row["path"] for row in chosen]
    return [batch.image for batch in ImageLoader(paths, Preprocess(spec.image), 1, cache=0)]


def shipped(
    workspace: Workspace, product: str, spec: Product, folder: Path
) -> tuple[dict[str, Any], list[str]]:
    """Facts of a release as it runs, and where it departs from what was evaluated."""
    device = str(choose(read_params(workspace.root).line.device))
    inspector = Inspector.load(folder, device)
    images = workspace.images(product)
    rows = read_rows(folder / "scores.csv")
    threshold = json.loads((folder / "threshold.json").read_text())["threshold"]
    normals = read_rows(workspace.validation(product) / "train.csv")
    runtime = "onnx" if device == "cpu" and (folder / ONNX).is_file() else "torch"
    facts = {
        "runtime": runtime,
        "device": device,
        "size_mb": (folder / (ONNX if runtime == "onnx" else MODEL)).stat().st_size / 2**20,
        **latency(inspector, images, [row["path"] for row in rows + normals]),
    }
    tolerance = spec.gates.parity
    off = differences(inspector, images, rows, threshold, tolerance)
    return facts, [f"the {runtime} model that ships departs from the evaluation: {o}" for o in off]
