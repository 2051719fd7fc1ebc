"""Whether a release does what was evaluated.

On a CPU a release is run by ONNX Runtime, on a GPU by torch. Either way the gate takes the model
back out of the store and has it score the golden images. A release that decides otherwise than the
evaluated cell is refused.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tasks.decisions.threshold import classify_score
from tasks.documents.decision import Shipped
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.images.decode import decode_image
from tasks.images.loader import ImageLoader
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_bytes, read_image
from tasks.models.device import choose_device
from tasks.models.inspector import Inspector
from tasks.models.scoring import measure_latency
from tasks.models.verdict import VerdictModel
from tasks.promotion.golden import golden
from tasks.spec.read import read_params
from tasks.spec.schema import Image, Product
from tasks.workspace.files import read_rows
from tasks.workspace.paths import INSPECT, MODEL, ONNX, Workspace

SHOWN = 3  # images that a reason names
CALIBRATING = 32  # good images whose ranges an 8-bit model takes for its own


def normals(images: Path, rows: list[dict[str, Any]], image: Image) -> list[np.ndarray]:
    """Good training images, spread over all of them, as the algorithm sees them (B, 3, H, W)."""
    chosen = rows[:: max(1, len(rows) // CALIBRATING)][:CALIBRATING]
    paths = [images / row["path"] for row in chosen]
    return [batch.image.numpy() for batch in ImageLoader(paths, Preprocess(image), 1, cache=0)]


def shipped(
    workspace: Workspace, product: str, spec: Product, folder: Path
) -> tuple[Shipped, list[str]]:
    """Facts of a release as it runs, and where it departs from what was evaluated."""
    device = str(choose_device(read_params(workspace.root).line.device))
    inspector = Inspector.load(folder, device)
    images = workspace.images(product)
    rows = read_rows(folder / "scores.csv")
    limits = Thresholds.read(folder / THRESHOLD).limits
    threshold = limits[1]
    train = read_rows(workspace.validation(product) / "train.csv")
    runtime = "onnx" if device == "cpu" and (folder / ONNX).is_file() else "torch"
    facts = Shipped(
        runtime=runtime,
        device=device,
        size_mb=(folder / (ONNX if runtime == "onnx" else MODEL)).stat().st_size / 2**20,
        **measure_latency(inspector, images, [row["path"] for row in rows + train]),
    )
    tolerance = spec.gates.parity
    off = differences(inspector, images, rows, threshold, tolerance)
    found = departure(f"the {runtime} model that ships", off, tolerance)
    if (folder / INSPECT).is_file():
        off = verdict_differences(VerdictModel(folder / INSPECT), images, rows, limits, tolerance)
        found += departure(INSPECT, off, tolerance)
    return facts, found


def departure(what: str, off: list[str], tolerance: float) -> list[str]:
    """The reason against a model that departs from the evaluation, with a few of its images; none
    where there are none."""
    if not off:
        return []
    more = f"; and {len(off) - SHOWN} more" if len(off) > SHOWN else ""
    allowed = f"gates.parity allows {tolerance:g} of the threshold"
    return [f"{what} departs from the evaluation: {'; '.join(off[:SHOWN])}{more} ({allowed})"]


def differences(
    inspector: Inspector,
    images: Path,
    rows: list[dict[str, Any]],
    threshold: float,
    tolerance: float,
) -> list[str]:
    """Where a shipped model departs from `rows` of scores.csv (path, score), in words.

    tolerance: of a score, as a share of the threshold's size.
    """
    chosen = golden([float(row["score"]) for row in rows], threshold)
    found = []
    for row in (rows[index] for index in chosen):
        score = inspector.inspect(read_image(images / row["path"])).score
        expected = float(row["score"])
        if (score > threshold) != (expected > threshold):
            found.append(
                f"{row['path']} is decided otherwise: {score:.6g}, evaluated {expected:.6g}"
            )
        elif abs(score - expected) > tolerance * max(abs(threshold), 1e-12):
            found.append(f"{row['path']} scores {score:.6g}, evaluated {expected:.6g}")
    return found


class Verdicts(Protocol):
    """What decides by itself, whatever runs it."""

    def verdict(self, pixels: np.ndarray) -> tuple[float, str]:
        """Score and decision of pixels (H, W, C), uint8 or uint16."""


def verdict_differences(
    model: Verdicts,
    images: Path,
    rows: list[dict[str, Any]],
    limits: tuple[float, float],
    tolerance: float,
) -> list[str]:
    """As `differences`, of the file from pixels to verdict, which decides by itself.

    limits: raw scores up to which a part is accepted, and above which it is rejected.
    """
    accept, threshold = limits
    found = []
    for index in golden([float(row["score"]) for row in rows], threshold):
        path, expected = rows[index]["path"], float(rows[index]["score"])
        picture = decode_image(read_bytes(images / path), path)
        score, decision = model.verdict(picture.pixels)
        wanted = classify_score(expected, threshold, accept)
        if decision != wanted:
            found.append(f"{path} is '{decision}' with {score:.6g}, evaluated {expected:.6g}")
        elif abs(score - expected) > tolerance * max(abs(threshold), 1e-12):
            found.append(f"{path} scores {score:.6g}, evaluated {expected:.6g}")
    return found
