"""Fit one algorithm on one product. A fit that was stopped goes on from its checkpoint."""

import hashlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ad_models import Detector, Run, config, create, kind, load
from tasks.code import fingerprint
from tasks.command import Listener, main
from tasks.device import choose, peak_memory_mb, precision
from tasks.errors import DataError, SpecError
from tasks.files import beside, read_rows, write_json, write_rows
from tasks.imaging.images import read_image
from tasks.imaging.loader import CACHE, ImageLoader
from tasks.imaging.preprocess import Preprocess
from tasks.inspector import Inspector
from tasks.resume import forget_others, teller
from tasks.spec import Product, algorithm_parameters, per_product, read_params, read_product
from tasks.split import consecutive_folds, consecutive_split, folds, split
from tasks.workspace import CALIBRATION, CARD, MODEL, Workspace

Rows = list[dict[str, str]]


def fit(workspace: Workspace, product: str, algorithm: str, listener: Listener) -> Path:
    """Write `cells/<algorithm>/model`: the detector, scores of good images that no fit of theirs
    saw, and the card that says how it was made."""
    spec = read_product(workspace.root, product)
    parameters = algorithm_parameters(workspace.root, product, algorithm)
    table = workspace.validation(product) / "train.csv"
    rows = read_rows(table)
    if not rows:
        raise DataError(f"{table} lists no good training image; ingest some first")
    shared = Shared.read(workspace.shared(algorithm)) if per_product(algorithm) else None
    identity = fingerprint_of(algorithm, parameters, spec, table, shared)
    checkpoint = workspace.checkpoint(product, algorithm).with_suffix(f".{identity[:12]}.ckpt")
    forget_others(checkpoint)
    device = choose(read_params(workspace.root).line.device)
    run = Run(device, checkpoint, identity, teller(listener), listener.should_stop, listener.note)
    run.precision = precision(spec.training.precision, device)
    job = Job(product, algorithm, parameters, spec, workspace.images(product), listener, shared)
    started = time.perf_counter()
    detector, normals, held = job.fit(rows, run)
    fitted = time.perf_counter()
    scores = job.score(detector, held) if held else job.score_folds(rows, run)
    card = {
        "product": product,
        "algorithm": algorithm,
        "parameters": asdict(detector.config),
        "image": spec.image.model_dump(mode="json"),
        "backbone_weights": detector.weights,
        "fit_images": normals,
        "fit_record": detector.record,
        "calibration": "held out" if held else f"{job.folds(rows)} folds",
        "train_csv": hashlib.sha256(table.read_bytes()).hexdigest(),
        "identity": identity,
        **({"shared": shared.card["identity"]} if shared else {}),
        "device": str(device),
        "precision": str(run.precision).removeprefix("torch."),
        "fit_seconds": round(fitted - started, 3),
        "calibration_seconds": round(time.perf_counter() - fitted, 3),
        "peak_memory_mb": round(peak_memory_mb(device), 1),
    }
    folder = workspace.model(product, algorithm)
    with beside(folder) as partial:
        detector.save(partial / MODEL)
        write_json(partial / CARD, card)
        write_rows(partial / CALIBRATION, ("path", "score", "peak"), scores)
    checkpoint.unlink(missing_ok=True)  # or the next fit would resume this finished one
    return folder


@dataclass(frozen=True)
class Shared:
    """What `tasks.pretrain` made of an algorithm that products share."""

    folder: Path
    card: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Shared":
        if not (folder / CARD).is_file():
            raise DataError(f"{folder} is missing; `inspectline run` or `dvc repro` makes it")
        return cls(folder, json.loads((folder / CARD).read_text()))

    def part(self, product: str, rows: Rows, shots: int) -> tuple[Rows, Rows]:
        """The images to calibrate on, by content, and the others that set the threshold: of a
        product that it learned from only those that were kept out of that; of one with few images
        none, for there each sets the threshold in a calibration without it."""
        learned = self.card["calibration"].get(product)
        ordered = sorted(rows, key=lambda row: row["sha256"])
        if learned is None:
            return ordered[:shots], ordered[shots:] if len(ordered) >= 2 * shots else []
        sides = split([row["sha256"] for row in ordered], learned)
        known = [row for row, side in zip(ordered, sides, strict=True) if not side]
        return known[:shots], [row for row, side in zip(ordered, sides, strict=True) if side]


@dataclass(frozen=True)
class Job:
    """One algorithm on one product: fits and scores, on any rows of train.csv."""

    product: str
    algorithm: str
    parameters: dict[str, Any]
    spec: Product
    images: Path
    listener: Listener
    shared: Shared | None = None

    def fit(self, rows: Rows, run: Run) -> tuple[Detector, int, Rows]:
        """The detector, the number of images it saw, and those held out of it.

        None are held out of what fits in one pass: folds give its calibration scores.
        """
        if self.shared:
            chosen = config(self.algorithm, **self.parameters)
            support, held = self.shared.part(self.product, rows, chosen.shots)
            return self.calibrated(self.shared, support, run), len(support), held
        detector = create(self.algorithm, **self.parameters)
        held = []
        if not (detector.one_pass and self.spec.training.folds > 1):
            sides = self.split(rows)
            held = [row for row, side in zip(rows, sides, strict=True) if side]
            rows = [row for row, side in zip(rows, sides, strict=True) if not side]
        normals = self.loader(held) if held else None
        # what is read once is not kept, for the memory is the algorithm's
        shuffle, keep = not detector.one_pass, not detector.reads_once
        loader = self.loader(rows, shuffle, keep)
        return detector.fit(loader, run, normals), len(rows), held

    def calibrated(self, shared: Shared, rows: Rows, run: Run) -> Detector:
        """What products share, calibrated for this one on these images."""
        if (size := list(self.spec.image.seen)) != shared.card["image_size"]:
            raise SpecError(
                f"{self.product} has an image.size of {size}, but {self.algorithm} learned at "
                f"{shared.card['image_size']}; give all products one"
            )
        detector = load(shared.folder / MODEL, run.device)
        own = {k: v for k, v in self.parameters.items() if k in per_product(self.algorithm)}
        detector.config = config(self.algorithm, **(asdict(detector.config) | own))
        detector.calibrate(self.loader(rows), run)
        return detector

    def folds(self, rows: Rows) -> int:
        """How many parts the images are dealt into; 0 where a fit without one had too few.

        More parts where images are few: a fit without a quarter of a dozen is quite another fit,
        and with so few it costs nothing. What is shared is calibrated as often as it takes for each
        calibration to have all its shots.
        """
        if len(rows) <= kind(self.algorithm).fewest:
            return 0
        if self.shared:
            spare = len(rows) - config(self.algorithm, **self.parameters).shots
            return -(-len(rows) // spare) if spare > 0 else len(rows)
        return min(len(rows), max(self.spec.training.folds, 160 // len(rows)))

    def score_folds(self, rows: Rows, run: Run) -> list[dict[str, Any]]:
        """Scores of all rows, each by a detector fitted without it."""
        count = self.folds(rows)
        parts = self.parts(rows, count) if count > 1 else []
        scores = []
        for number in range(count):
            left_out = [row for row, part in zip(rows, parts, strict=True) if part == number]
            seen = [row for row, part in zip(rows, parts, strict=True) if part != number]
            self.listener.report(f"fold {number + 1}/{count}", number / count)
            part_run = Run(run.device, should_stop=run.should_stop, precision=run.precision)
            scores += self.score(self.again(seen, part_run), left_out)
        return sorted(scores, key=lambda row: row["path"])

    def parts(self, rows: Rows, count: int) -> list[int]:
        """The number of the part that each image is left out with."""
        if (order := self.spec.training.order) is not None:
            return consecutive_folds([Path(row["path"]).stem for row in rows], order, count)
        return folds([row["sha256"] for row in rows], count)

    def split(self, rows: Rows) -> list[bool]:
        """True for the images that are kept out of the one fit there is."""
        share = self.spec.training.calibration
        if (order := self.spec.training.order) is not None:
            return consecutive_split([Path(row["path"]).stem for row in rows], order, share)
        return split([row["sha256"] for row in rows], share)

    def again(self, rows: Rows, run: Run) -> Detector:
        """Another detector, of these images alone."""
        if self.shared:
            return self.calibrated(self.shared, rows, run)
        detector = create(self.algorithm, **self.parameters)
        return detector.fit(self.loader(rows, keep=False), run)

    def score(self, detector: Detector, rows: Rows) -> list[dict[str, Any]]:
        """Score and highest map value of each image; repr keeps every digit."""
        inspector = Inspector(detector, Preprocess(self.spec.image))
        return [
            {"path": row["path"], "score": repr(found.score), "peak": repr(float(found.map.max()))}
            for row in rows
            for found in [inspector.inspect(read_image(self.images / row["path"]))]
        ]

    def loader(self, rows: Rows, shuffle: bool = False, keep: bool = True) -> ImageLoader:
        """Batches of the images in these rows; `keep` them decoded for the next epoch."""
        paths = [self.images / row["path"] for row in rows]
        preprocess = Preprocess(self.spec.image)
        size = self.spec.training.batch_size
        cache = CACHE if keep else 0
        return ImageLoader(paths, preprocess, size, shuffle, self.product, cache)


def fingerprint_of(
    algorithm: str,
    parameters: dict[str, Any],
    spec: Product,
    table: Path,
    shared: Shared | None = None,
) -> str:
    """What a checkpoint belongs to: data, parameters, preprocessing and code."""
    parts = {
        "algorithm": algorithm,
        "parameters": parameters,
        "image": spec.image.model_dump(mode="json"),
        "training": spec.training.model_dump(mode="json"),
        "train": hashlib.sha256(table.read_bytes()).hexdigest(),
        "code": [fingerprint("fit"), fingerprint(algorithm)],
    }
    if shared:
        parts["shared"] = shared.card["identity"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    main(fit)
