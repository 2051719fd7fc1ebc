"""The artefact as it ships: exported, and checked against what was evaluated.

On a CPU a release is run by ONNX Runtime, on a GPU by torch. Either way the gate takes the model
back out of the store and has it score the golden images: a release that decides otherwise
than the cell that was evaluated is no release of it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ad_models import load
from tasks.imaging.images import read_image
from tasks.inspector import Inspector
from tasks.quantise import quantise
from tasks.workspace import MODEL, ONNX

GOLDEN = 32  # images that a shipped model scores before it may be promoted


def export(folder: Path, seen: tuple[int, int], normals: Sequence[Tensor] = ()) -> None:
    """Write model.onnx beside the folder's model, for images of `seen` height and width.

    In 8 bits where there are `normals` to calibrate on, preprocessed images (B, 3, *seen). Where
    the algorithm has no ONNX form, the release is run by torch on every device.
    """
    detector = load(folder / MODEL)
    if not detector.no_export:
        detector.export(folder / ONNX, seen)
        if normals:
            quantise(folder / ONNX, normals)


def golden(scores: list[float], threshold: float, count: int = GOLDEN) -> list[int]:
    """Indices of the images to check: half nearest the threshold, half over the whole range."""
    order = sorted(range(len(scores)), key=lambda i: abs(scores[i] - threshold))
    near = order[: count // 2]
    rest = sorted(order[count // 2 :], key=lambda i: scores[i])
    picks = np.linspace(0, len(rest) - 1, min(len(rest), count - len(near))).round().astype(int)
    return sorted({*near, *(rest[i] for i in picks)})


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
