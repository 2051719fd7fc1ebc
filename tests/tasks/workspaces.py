"""Evaluations as the line leaves them, written by hand: no model is needed to look at a page."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from tasks.documents.threshold import Thresholds
from tasks.models.result_pictures import ResultPictures
from tasks.workspace.files import write_json
from tasks.workspace.paths import Workspace

NASTY = "test/crack/<img src=x onerror=alert(1)>&\"'.png"
METRICS: dict[str, Any] = {
    "image_auroc": 0.75,
    "pixel_auroc": 0.9,
    "aupro_30": 0.8,
    "aupro_05": 0.5,
    "threshold": 2.0,
    "accept": 2.0,
    "miss": 0.5,
    "overkill": 0.5,
    "ms_per_image": 12.0,
    "test_good": 2,
    "test_defective": 2,
    "backbone_weights": "imagenet",
}
ROWS: list[tuple[str, str, float, str]] = [
    ("test/good/0.png", "good", 1.0, "good"),
    ("test/good/1.png", "good", 2.5, "defect"),
    (NASTY, "crack", 0.5, "good"),
    ("test/crack/1.png", "crack", 9.0, "defect"),
]


def table(path: Path, header: str, rows: list[Any]) -> None:
    """A CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])


def workspace(root: Path) -> Workspace:
    """An empty one with a store in a folder."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text("defaults: {}\nalgorithms: {}\n")
    return Workspace(root)


def product(made: Workspace, name: str = "tile", **spec: Any) -> None:
    """A product without images."""
    made.product(name).mkdir(parents=True, exist_ok=True)
    (made.product(name) / "product.yaml").write_text(yaml.safe_dump(spec))


def cell(
    made: Workspace,
    name: str = "tile",
    algorithm: str = "padim",
    rows: list[tuple[str, str, float, str]] = ROWS,
    severities: dict[str, str] | None = None,
    **metrics: Any,
) -> Path:
    """An evaluated cell, and the spec that asks for it; the folder of its evaluation."""
    spec = made.product(name) / "product.yaml"
    asked = (yaml.safe_load(spec.read_text()) or {}) if spec.is_file() else {}
    algorithms = {**asked.get("algorithms", {}), algorithm: {}}
    product(made, name, **asked | {"algorithms": algorithms})
    folder = made.evaluation(name, algorithm)
    table(folder / "scores.csv", "path,label,score,decision", rows)
    table(folder / "roc.csv", "fpr,tpr,threshold", [(0, 0, "inf"), (0, 0.5, 9), (1, 1, 0.5)])
    table(folder / "pro.csv", "fpr,pro", [(0, 0), (0.15, 0.5), (0.3, 1)])
    labels = {label for _, label, *_ in rows if label != "good"}
    known = severities or {}
    types = {label: {"severity": known.get(label, "critical")} for label in sorted(labels)}
    details = {"severity": {"types": types, "blocking": []}, "intervals": {"miss": [0.1, 0.9]}}
    write_json(folder / "details.json", details)
    write_json(folder / "metrics.json", METRICS | metrics | {"algorithm": algorithm})
    drawn(rows, metrics.get("threshold", 2.0)).write(folder / "exhibits.zip")
    return folder


def validated(made: Workspace, name: str = "tile", images: int = 24) -> None:
    """Images of two brightnesses, every one of another size, the second a twin of the first."""
    save = [(n, ("train", "test")[n % 2]) for n in range(images)]
    rows = []
    for n, split in save:
        path = f"{split}/good/{n:03d}.png"
        place = made.images(name) / path
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40 + n, 30), 100 + 100 * (n % 2)).save(place)
        bright = 0.4 + 0.4 * (n % 2) + n / 1000
        rows.append((path, split, "good", 40 + n, 30, bright, 0.01, ""))
    folder = made.validation(name)
    header = "path,split,label,width,height,brightness,sharpness,error"
    table(folder / "manifest.csv", header, rows)
    bounds = {"low": 0.3, "high": 0.9}
    twin = "shows nearly the same picture as train/good/000.png"
    write_json(
        folder / "result.json",
        {
            "passed": True,
            "counts": {"train_good": images // 2, "test_good": images // 2, "warnings": 2},
            "ranges": {"brightness": bounds},
            "failures": [],
            "warnings": [
                {"check": "near_duplicate", "file": "test/good/001.png", "reason": twin},
                {"check": "sharpness", "file": "train/good/004.png", "reason": "blurred <b>"},
            ],
        },
    )
    made.corrections(name).write_text(
        "test/good/003.png: {label: crack, by: anna, why: the rim is scratched}\n"
    )


class NoModel:
    """In the place of an inspector: all of the image is seen, nothing is rebuilt."""

    def __init__(self) -> None:
        self.preprocess = self

    def view(self, image: np.ndarray) -> np.ndarray:
        return image

    def region(self, image: np.ndarray) -> np.ndarray:
        return image

    def reconstruct(self, image: np.ndarray) -> np.ndarray | None:
        return 1 - image if image[0, 0, 0] > 0.5 else None


def drawn(rows: list[tuple[str, str, float, str]], threshold: float | None) -> ResultPictures:
    """Pictures of rows: a square of light, found a little beside where it is."""
    decision = Thresholds(threshold=threshold, pixel_threshold=0.5, map_top=1.0)
    pictures = ResultPictures(NoModel(), decision, 1000)  # type: ignore[arg-type]
    for index, (_, label, score, _) in enumerate(rows):
        image = np.full((48, 64, 3), index / max(1, len(rows) - 1), np.float32)
        map = np.zeros((48, 64), np.float32)
        map[10:20, 10:26] = min(1.0, score / 5)
        mask = np.zeros((48, 64), bool)
        mask[12:24, 12:24] = label != "good"
        pictures.add(index, label, image, score, map, mask)
    return pictures


def write_decision(made: Workspace, name: str = "tile", accepted: bool = True, **more: Any) -> None:
    """What the gate decided last."""
    decision = {
        "accepted": accepted,
        "time": "2026-05-04T03:02:01+00:00",
        "challenger": {"algorithm": "padim", "release": "0123456789abcdef"},
        "champion": {"algorithm": "stfpm", "release": "fedcba9876543210"},
        "floors": [{"name": "miss", "limit": 0.1, "value": 0.5, "passed": False}],
        "reasons": ["miss 50 % is above 10 %"],
        "store": "s3://bucket/line",
    } | more
    path = made.scratch / "decisions" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"decision": decision}))
