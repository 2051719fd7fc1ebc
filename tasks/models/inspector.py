"""A fitted model with its preprocessing, for evaluation, gate and predict."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np
import torch
from torch import Tensor

from ad_models import Prediction, load
from ad_models.base import MEAN, STD, Detector
from tasks.images.preprocess import Preprocess
from tasks.images.tiles import cut_tiles, join_tiles
from tasks.spec.read import check
from tasks.spec.schema import Image
from tasks.workspace.errors import StoreError
from tasks.workspace.paths import CARD, MODEL, ONNX


class Inspection(NamedTuple):
    """Raw values on the algorithm's own scale; larger is more anomalous."""

    score: float
    map: np.ndarray  # (H, W) float32, at the resolution of the region
    model_map: np.ndarray  # (h, w) float32, output of the algorithm


class Predictor(Protocol):
    def predict(self, images: Tensor) -> Prediction: ...


@dataclass
class Inspector:
    detector: Predictor
    preprocess: Preprocess

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """Load a model from the folder of a cell or a release."""
        card = folder / CARD
        if not card.is_file():
            raise StoreError(f"{folder} holds no model: {CARD} is missing")
        image = check(Image, json.loads(card.read_text())["image"], card)
        return cls(_detector(folder, device), Preprocess(image))

    def inspect(self, image: np.ndarray) -> Inspection:
        """Score one image (H, W, C) in 0..1; its map covers the region of interest."""
        return self.inspect_all([image])[0]

    def inspect_all(self, images: list[np.ndarray]) -> list[Inspection]:
        """Score images of any sizes in one batch."""
        inputs = [self.preprocess(image) for image in images]
        tile = self.preprocess.spec.tile
        parts = [cut_tiles(x, tile) if tile else x[None] for x in inputs]
        shapes = [self.preprocess.region(image).shape[:2] for image in images]
        counts = [len(part) for part in parts]
        prediction = self.detector.predict(torch.cat(parts))
        return inspections(self.preprocess, prediction, counts, shapes)

    def reconstruct(self, image: np.ndarray) -> np.ndarray | None:
        """The model's reconstruction of the region of interest (H, W, 3) in 0..1; None if it has
        none."""
        if not isinstance(self.detector, Detector):
            return None
        seen, tile = self.preprocess(image), self.preprocess.spec.tile
        made = self.detector.reconstruction(cut_tiles(seen, tile) if tile else seen[None])
        if made is None:
            return None
        parts = made.float().cpu()
        shape = self.preprocess.region(image).shape[:2]
        planes = [
            join_tiles(part, self.preprocess.spec.size) if tile else part[0]
            for part in parts.movedim(1, 0)
        ]
        whole = torch.stack([self.preprocess.restore(plane, shape) for plane in planes], dim=2)
        return (whole * torch.tensor(STD) + torch.tensor(MEAN)).clamp(0, 1).numpy()


def inspections(
    preprocess: Preprocess,
    prediction: Prediction,
    counts: list[int],
    shapes: Sequence[tuple[int, ...]],
) -> list[Inspection]:
    """Inspections of images from the prediction of all their tiles. counts: tiles of each image;
    shapes: height and width of each region of interest, pixels."""
    scores = prediction.score.cpu().split(counts)
    maps = prediction.map[:, 0].float().cpu().split(counts)
    found = []
    for (height, width, *_), score, part in zip(shapes, scores, maps, strict=True):
        whole = join_tiles(part, preprocess.spec.size) if preprocess.spec.tile else part[0]
        native = preprocess.restore(whole, (height, width))
        found.append(Inspection(float(score.max()), native.numpy(), whole.numpy()))
    return found


def _detector(folder: Path, device: str) -> Predictor:
    """On a CPU the ONNX model of a release; otherwise the torch model."""
    if device == "cpu" and (folder / ONNX).is_file():
        from tasks.models.onnx import OnnxDetector

        return OnnxDetector(folder / ONNX)
    return load(folder / MODEL, device)
