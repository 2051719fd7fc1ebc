"""Fit one algorithm on one product: splits, what is left out, and checkpoints."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ad_models import Batch, Detector, Progress, Run, config, create, kind, load
from ad_models.feature_store import FeatureStore, TemporaryFeatures
from tasks.build.fingerprint import fingerprint
from tasks.decisions.split import (
    consecutive_fold_numbers,
    consecutive_held_out,
    fold_numbers,
    held_out,
)
from tasks.images.loader import CACHE, ImageLoader
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.models.device import choose_device
from tasks.models.edge_maps import EdgeMaps
from tasks.models.feature_loader import FeatureLoader
from tasks.models.inspector import Inspection, Inspector
from tasks.models.torch_model import TorchModel
from tasks.spec.algorithms import per_product
from tasks.spec.read import read_params
from tasks.spec.recipe import FitRecipe
from tasks.workspace.errors import DataError, SpecError
from tasks.workspace.files import sha256_of
from tasks.workspace.listener import Listener
from tasks.workspace.paths import CARD, MODEL, Workspace

Rows = list[dict[str, str]]
Scores = list[dict[str, Any]]  # rows of calibration.csv
EACH = 64  # parts that are left out in turn where none costs a fit


@dataclass(frozen=True)
class SharedModel:
    """The result of `tasks.pretrain` for an algorithm that products share."""

    folder: Path
    card: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "SharedModel":
        if not (folder / CARD).is_file():
            raise DataError(f"{folder} is missing; `inspectline run` or `dvc repro` makes it")
        return cls(folder, json.loads((folder / CARD).read_text()))

    def part(self, product: str, rows: Rows, shots: int) -> tuple[Rows, Rows]:
        """The images to calibrate on, chosen by content, and the images that set the threshold. For
        a product that it learned from, the threshold uses only images that were held out. For a
        product with few images there are none: then each image sets the threshold in a calibration
        without it."""
        learned = self.card["calibration"].get(product)
        ordered = sorted(rows, key=lambda row: row["sha256"])
        if learned is None:
            return ordered[:shots], ordered[shots:] if len(ordered) >= 2 * shots else []
        sides = held_out([row["sha256"] for row in ordered], learned)
        known = [row for row, side in zip(ordered, sides, strict=True) if not side]
        return known[:shots], [row for row, side in zip(ordered, sides, strict=True) if side]


@dataclass(frozen=True)
class FitJob:
    """One algorithm on one product: fit and score on any rows of train.csv."""

    product: str
    algorithm: str
    recipe: FitRecipe
    images: Path
    listener: Listener
    shared: SharedModel | None = None
    features: FeatureStore = field(default_factory=TemporaryFeatures)
    edge: EdgeMaps = field(default_factory=EdgeMaps)

    def fit(self, rows: Rows, run: Run) -> tuple[Detector, int, Rows]:
        """The detector, the number of images it used, and the held-out rows.

        An algorithm that fits in one pass holds out none: folds give its calibration scores.
        """
        if self.shared:
            chosen = config(self.algorithm, **self.recipe.parameters)
            support, held = self.shared.part(self.product, rows, chosen.shots)
            return self.calibrated(self.shared, support, run), len(support), held
        detector = create(self.algorithm, **self.recipe.parameters)
        held = []
        if not (detector.one_pass and self.recipe.training.folds > 1):
            sides = self.split(rows)
            held = [row for row, side in zip(rows, sides, strict=True) if side]
            rows = [row for row, side in zip(rows, sides, strict=True) if not side]
        normals = self.loader(held) if held else None
        return detector.fit(self.normals(detector, rows, run), run, normals), len(rows), held

    def normals(self, detector: Detector, rows: Rows, run: Run) -> Iterable[Batch]:
        """What the detector learns from: images, or their features where it reads nothing else."""
        detector.announce(len(rows))
        if detector.reads_features:
            return self.feature_loader(detector, rows, run, shuffle=not detector.one_pass)
        # images that are read once are not cached: the algorithm needs the memory
        return self.loader(rows, not detector.one_pass, not detector.reads_once)

    def feature_loader(
        self, detector: Detector, rows: Rows, run: Run, shuffle: bool = False
    ) -> FeatureLoader:
        """Batches of features of the images in these rows."""
        pyramid = getattr(detector.to(run.device), detector.reads_features)
        hashes = [row["sha256"] for row in rows]
        images = self.loader(rows, shuffle, keep=False)
        return FeatureLoader(images, hashes, pyramid, self.features, run)

    def calibrated(self, shared: SharedModel, rows: Rows, run: Run) -> Detector:
        """The shared detector, calibrated for this product on these images."""
        if (size := list(self.recipe.image.seen)) != shared.card["image_size"]:
            raise SpecError(
                f"{self.product} has an image.size of {size}, but {self.algorithm} learned at "
                f"{shared.card['image_size']}; give all products one, beside {self.algorithm} in "
                "product.yaml if it is for that alone"
            )
        detector = load(shared.folder / MODEL, run.device)
        own = {k: v for k, v in self.recipe.parameters.items() if k in per_product(self.algorithm)}
        detector.config = config(self.algorithm, **(asdict(detector.config) | own))
        detector.calibrate(self.loader(rows), run)
        return detector

    def folds(self, rows: Rows, refit: bool = True) -> int:
        """The number of parts that are left out in turn; 0 if the others are too few for a fit.

        More parts for few images: a fit without a quarter of a dozen images is very different, and
        with so few images it is cheap. A shared algorithm has as many as needed, so that each
        calibration has all its shots. refit: each part costs a fit; otherwise there are `EACH`
        parts, which is one image each for few images. A sequence has few parts in any case:
        neighbours stay together.
        """
        if len(rows) <= kind(self.algorithm).fewest:
            return 0
        if self.shared:
            spare = len(rows) - config(self.algorithm, **self.recipe.parameters).shots
            return -(-len(rows) // spare) if spare > 0 else len(rows)
        least = max(self.recipe.training.folds, 160 // len(rows))
        if not refit and self.recipe.training.order is None:
            least = max(least, EACH)
        return min(len(rows), least)

    def parts(self, rows: Rows, count: int) -> list[int]:
        """The fold number of each image."""
        if (order := self.recipe.training.order) is not None:
            return consecutive_fold_numbers([Path(row["path"]).stem for row in rows], order, count)
        return fold_numbers([row["sha256"] for row in rows], count)

    def split(self, rows: Rows) -> list[bool]:
        """True for images held out of the single fit."""
        share = self.recipe.training.calibration
        if (order := self.recipe.training.order) is not None:
            return consecutive_held_out([Path(row["path"]).stem for row in rows], order, share)
        return held_out([row["sha256"] for row in rows], share)

    def again(self, rows: Rows, run: Run) -> Detector:
        """Another detector, fitted only on these images."""
        if self.shared:
            return self.calibrated(self.shared, rows, run)
        detector = create(self.algorithm, **self.recipe.parameters)
        return detector.fit(self.normals(detector, rows, run), run)

    def score(self, detector: Detector, rows: Rows) -> Scores:
        """Score and highest map value of each image."""
        inspector = Inspector(TorchModel(detector), Preprocess(self.recipe.image))
        return [
            self.score_row(row, inspector.inspect(read_image(self.images / row["path"])))
            for row in rows
        ]

    def score_row(self, row: dict[str, str], found: Inspection) -> dict[str, Any]:
        """A row of calibration.csv."""
        self.edge.add(row["path"], found)
        return found.row(row["path"])

    def loader(self, rows: Rows, shuffle: bool = False, keep: bool = True) -> ImageLoader:
        """Batches of the images in these rows; `keep`: cache decoded images for the next epoch."""
        paths = [self.images / row["path"] for row in rows]
        preprocess = Preprocess(self.recipe.image)
        size = self.recipe.training.batch_size
        cache = CACHE if keep else 0
        return ImageLoader(paths, preprocess, size, shuffle, self.product, cache)


def fingerprint_of(
    algorithm: str,
    recipe: FitRecipe,
    table: Path,
    shared: SharedModel | None = None,
) -> str:
    """The identity of a checkpoint: data, parameters, preprocessing and code."""
    parts = {
        "algorithm": algorithm,
        "parameters": recipe.parameters,
        "image": recipe.image.model_dump(mode="json"),
        "training": recipe.training.model_dump(mode="json"),
        "train": sha256_of(table),
        "code": [fingerprint("fit"), fingerprint(algorithm)],
    }
    if shared:
        parts["shared"] = shared.card["identity"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def prepare_run(
    workspace: Workspace, product: str, name: str, identity: str, listener: Listener
) -> tuple[Run, Path]:
    """The run of a fit on the device that params.yaml names, and its checkpoint file.

    name: of the algorithm, or of what else is learned. The caller removes the file when it has
    written the result: otherwise the next fit would resume this finished one.
    """
    checkpoint = workspace.checkpoint(product, name).with_suffix(f".{identity[:12]}.ckpt")
    remove_other_checkpoints(checkpoint)
    device = choose_device(read_params(workspace.root).line.device)
    report = progress_callback(listener)
    run = Run(device, checkpoint, identity, report, listener.should_stop, listener.say)
    return run, checkpoint


def remove_other_checkpoints(checkpoint: Path) -> None:
    """Remove checkpoints of this cell that belong to other data, parameters or code."""
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    cell = checkpoint.name.split(".")[0]
    for other in checkpoint.parent.glob(f"{cell}.*"):
        if not other.name.startswith(checkpoint.stem):
            other.unlink()


def progress_callback(listener: Listener) -> Callable[[Progress], None]:
    """A callback that passes the progress of a fit to `listener`."""

    def tell(progress: Progress) -> None:
        stage = f"{progress.stage} {progress.epoch}/{progress.epochs}"
        listener.report(stage, progress.fraction, **progress.metrics)

    return tell
