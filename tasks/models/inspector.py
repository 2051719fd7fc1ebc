"""A fitted model with its preprocessing, for evaluation, gate and predict."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from ad_models.errors import CheckpointError
from ad_models.imagenet import MEAN, STD
from tasks.decisions.score_rule import COLUMNS, map_score
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.images.preprocess import Preprocess
from tasks.images.tiles import cut_tiles, join_tiles
from tasks.models.predictor import Predictor, Scored
from tasks.spec.policy_names import ScoreRule
from tasks.spec.read import check
from tasks.spec.schema import Image
from tasks.workspace.errors import StoreError
from tasks.workspace.paths import CARD, MODEL, ONNX


class Inspection(NamedTuple):
    """Raw values on the algorithm's own scale; larger is more anomalous."""

    score: float
    map: np.ndarray  # (H, W) float32, at the resolution of the region
    model_map: np.ndarray  # (h, w) float32, output of the algorithm

    def by(self, rule: ScoreRule) -> float:
        """The score that a threshold of this rule is compared with."""
        return self.score if rule == "model" else map_score(self.model_map, rule)

    def row(self, path: str) -> dict[str, str]:
        """A row of calibration.csv; repr keeps all digits."""
        scores = {name: repr(self.by(rule)) for rule, name in COLUMNS.items()}
        return {"path": path, **scores, "peak": repr(float(self.map.max()))}


class Prepared(NamedTuple):
    """An image as the algorithm sees it: all that scoring needs, whatever the image's size."""

    tiles: np.ndarray  # (N, 3, h, w); without tiling N is 1
    shape: tuple[int, int]  # height and width of its region of interest, pixels


@dataclass
class Inspector:
    detector: Predictor
    preprocess: Preprocess
    rule: ScoreRule = "model"  # of the scores that it gives

    @classmethod
    def load(cls, folder: Path, device: str = "cpu") -> Self:
        """Load a model from the folder of a cell or a release."""
        card = folder / CARD
        if not card.is_file():
            raise StoreError(f"{folder} holds no model: {CARD} is missing")
        image = check(Image, json.loads(card.read_text())["image"], card)
        limits = folder / THRESHOLD  # of a release; a cell's own model has none yet
        rule = Thresholds.read(limits).score_rule if limits.is_file() else "model"
        return cls(_detector(folder, device), Preprocess(image), rule)

    def inspect(self, image: np.ndarray) -> Inspection:
        """Score one image (H, W, C) in 0..1; its map covers the region of interest."""
        return self.inspect_all([image])[0]

    def inspect_all(self, images: list[np.ndarray]) -> list[Inspection]:
        """Score images of any sizes in one batch."""
        return self.inspect_prepared([self.prepare(image) for image in images])

    def prepare(self, image: np.ndarray) -> Prepared:
        """What scoring needs of an image (H, W, C) in 0..1."""
        height, width = self.preprocess.region(image).shape[:2]
        return Prepared(self._tiles(image), (height, width))

    def inspect_prepared(self, images: list[Prepared]) -> list[Inspection]:
        """Score prepared images in one batch."""
        counts = [len(one.tiles) for one in images]
        found = self.detector.predict(np.concatenate([one.tiles for one in images]))
        made = inspections(self.preprocess, found, counts, [one.shape for one in images])
        return [one._replace(score=one.by(self.rule)) for one in made]

    def reconstruct(self, image: np.ndarray) -> np.ndarray | None:
        """The model's reconstruction of the region of interest (H, W, 3) in 0..1; None if it has
        none."""
        if not self.detector.reconstructs:
            return None
        made = self.detector.reconstruct(self._tiles(image))
        if made is None:
            return None
        spec, shape = self.preprocess.spec, self.preprocess.region(image).shape[:2]
        planes = [
            join_tiles(part, spec.size) if spec.tile else part[0] for part in made.swapaxes(0, 1)
        ]
        whole = np.stack([self.preprocess.restore(plane, shape) for plane in planes], axis=2)
        return (whole * np.array(STD, np.float32) + np.array(MEAN, np.float32)).clip(0, 1)

    def _tiles(self, image: np.ndarray) -> np.ndarray:
        """Tiles (N, 3, h, w) of an image (H, W, C) as the algorithm sees them; without tiling N is
        1."""
        seen, tile = self.preprocess(image), self.preprocess.spec.tile
        return cut_tiles(seen, tile) if tile else seen[None]


def inspections(
    preprocess: Preprocess,
    found: Scored,
    counts: list[int],
    shapes: Sequence[tuple[int, ...]],
) -> list[Inspection]:
    """Inspections of images from the output for all their tiles. counts: tiles of each image;
    shapes: height and width of each region of interest, pixels."""
    ends = np.cumsum(counts)[:-1]
    scores, maps = np.split(found.score, ends), np.split(found.map, ends)
    made = []
    for (height, width, *_), score, part in zip(shapes, scores, maps, strict=True):
        whole = join_tiles(part, preprocess.spec.size) if preprocess.spec.tile else part[0]
        native = preprocess.restore(whole, (height, width))
        made.append(Inspection(float(score.max()), native, whole))
    return made


def _detector(folder: Path, device: str) -> Predictor:
    """On a CPU the ONNX model of a release; otherwise the torch model. Where that is of another
    version, a release runs by its ONNX model everywhere."""
    shipped = (folder / ONNX).is_file()
    if device == "cpu" and shipped:
        return _onnx(folder)
    from tasks.models.torch_model import TorchModel

    try:
        return TorchModel.load(folder / MODEL, device)
    except CheckpointError:
        if shipped:
            return _onnx(folder)
        raise


def _onnx(folder: Path) -> Predictor:
    from tasks.models.onnx import OnnxDetector

    return OnnxDetector(folder / ONNX)
