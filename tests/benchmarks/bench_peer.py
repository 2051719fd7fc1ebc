"""Our algorithms beside those of anomalib at equal work: quality, and what they cost on a CPU.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_peer.py FOLDER... [--peer PYTHON]
    [--algorithms padim patchcore fastflow reverse_distillation ganomaly efficientad] [--side 256]
    [--steps 200] [--batch 8] [--seeds 0 1 2] [--rounds 1] [--timed 10] [--good N] [--threads 1]
    [--precision float32] [--int8]

FOLDER: products in MVTec AD layout. FILE: torchvision's ResNet-18. PYTHON: of an environment with
anomalib (2.7 was tried); without it only our side is measured. Both sides get the same good images
as the same tensors, the same weights, and where they train the same images step by step, as many
steps and the same batch; each has its own loss, optimiser and start. GANomaly sees images of 64
pixels. Judged are all test images, both sides by our exact figures, at the side of the images.

Costs are seconds of the processor, without decoding. Fits of both sides take turns, --rounds times,
and so do predictions of single images, --timed times; medians are printed. `shipped` is our ONNX
model, which ships, beside anomalib's in torch. A small coreset and a short training depend on the
seed: compare the means of several.

--precision is that of our networks in training and of our frozen backbone in a fit, as
`training.precision` of a product; a prediction is in float32 always.

--int8: what ships is in 8 bits, as with `release.int8`, calibrated on 32 good images.

EfficientAD's teacher is distilled for a few steps before, the same for both, and both see drawn
textures in place of ImageNet: what a teacher of 60000 steps would find is another question.

Left out: AnomalyDINO and Dinomaly (the weights of their backbones are a download; see
bench_peer_vit.py), SimpleNet (anomalib has another one of it), and what one side alone has.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from bench_regad import good, tests
from torch import Tensor

from ad_models import Batch, Detector, Run, create
from ad_models.algorithms.efficientad import Efficientad, penalised
from ad_models.seen import Seen
from ad_models.synthetic import Textures
from ad_models.weight_files import at_hand
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.metrics.image import image_metrics
from tasks.metrics.pixel import PixelMetrics
from tasks.models.onnx import OnnxDetector
from tasks.models.quantise import quantise
from tasks.promotion.trial import CALIBRATING
from tasks.spec.schema import Image

FEW = 4  # images of a first fit, which imports and compiles, and is not timed
PARAMETERS: dict[str, dict[str, Any]] = {
    "padim": {"backbone": "resnet18", "dims": 100},
    "patchcore": {"backbone": "resnet18", "ratio": 0.01, "projected": 384},
    "fastflow": {"backbone": "resnet18", "kernels": [3], "epochs": 1},
    "reverse_distillation": {"backbone": "resnet18", "epochs": 1},
    "ganomaly": {"size": 64, "base": 64, "code": 100, "epochs": 1},
    "efficientad": {"backbone": "resnet18", "natural": "drawn"},
}
TRAINED = ("fastflow", "reverse_distillation", "ganomaly", "efficientad")
LESSONS = 10  # steps of EfficientAD's teacher, of --batch images
TEXTURES = 32  # that anomalib's EfficientAD sees in turn
PEER = Path(__file__).with_name("peer_anomalib.py")
COLUMNS = ("image AUROC", "pixel AUROC", "AUPRO", "fit CPU s", "CPU ms an image")
BY = ("ours, torch", "ours, onnx", "anomalib, torch", "anomalib, onnx")
Figures = list[float | None]  # in the order of COLUMNS


class Images(NamedTuple):
    train: np.ndarray  # (N, 3, side, side)
    test: np.ndarray
    masks: list[np.ndarray]
    defective: list[bool]


class Steps:
    """The images of each step, as a loader."""

    def __init__(self, images: np.ndarray, order: Sequence[np.ndarray]) -> None:
        self.images, self.order = images, order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        for chosen in self.order:
            yield Batch(torch.from_numpy(self.images[chosen]))


def read(folder: Path, side: int, most: int | None) -> Images:
    """Test images, and the first `most` good ones."""
    preprocess, shown = Preprocess(Image(size=(side, side))), tests(folder, side)
    train = np.stack([preprocess(read_image(path)) for path in good(folder)[:most]])
    kinds = [path.parent.name for path in sorted((folder / "test").glob("*/*"))]
    return Images(train, shown.images.numpy(), shown.masks, [kind != "good" for kind in kinds])


def judged(images: Images, scores: Sequence[float], maps: np.ndarray | None) -> Figures:
    """Image AUROC, pixel AUROC and AUPRO."""
    image = image_metrics(scores, images.defective)["image_auroc"]
    if maps is None:
        return [image, None, None]
    with PixelMetrics() as metrics:
        for heat, mask in zip(maps, images.masks, strict=True):
            metrics.update(heat, mask)
        found = metrics.compute()
    return [image, found["pixel_auroc"], found["aupro_30"]]


class Features:
    """What the frozen backbone makes of the images of each step, in the precision of the run."""

    def __init__(self, steps: Steps, detector: Detector, run: Run) -> None:
        self.steps, self.run = steps, run
        self.backbone = getattr(detector, str(detector.reads_features))

    def __len__(self) -> int:
        return len(self.steps)

    @torch.no_grad()
    def __iter__(self) -> Iterator[Batch]:
        for batch in self.steps:
            maps = self.run.mixed(self.backbone, batch.image)
            yield Batch(cast(Tensor, Seen(list(maps), batch.image.shape[-2:])))


class Ours:
    """Our side of one product, algorithm and seed."""

    def __init__(
        self, algorithm: str, images: Images, order: np.ndarray, seed: int, precision: str
    ) -> None:
        self.algorithm, self.images, self.seed = algorithm, images, seed
        self.precision: torch.dtype = getattr(torch, precision)
        self.order = list(order) if algorithm in TRAINED else split(len(images.train))
        self.teacher = self.distil() if algorithm == "efficientad" else None
        self.detector = self.learn(Steps(images.train[:FEW], [np.arange(FEW)]))
        self.onnx: OnnxDetector | None = None

    def new(self, steps: Steps) -> Detector:
        given = dict(PARAMETERS[self.algorithm])
        if self.algorithm == "efficientad":  # one image a step
            given |= {"steps": sum(map(len, steps.order)), "teacher": str(self.teacher)}
        return create(self.algorithm, **given, seed=self.seed)

    def distil(self) -> Path:
        """A file with a teacher for both sides."""
        self.scratch = tempfile.TemporaryDirectory()
        path = Path(self.scratch.name) / "teacher.safetensors"
        given = PARAMETERS["efficientad"] | {"teacher_steps": LESSONS}
        detector = cast(Efficientad, create("efficientad", **given, seed=self.seed))
        detector.teach(Steps(self.images.train, self.order), Run(), detector.natural())
        detector.teacher.write(path)
        return path

    def textures(self) -> np.ndarray:
        """Images (N, 3, side, side) for the penalty of EfficientAD."""
        torch.manual_seed(self.seed)
        like = torch.from_numpy(self.images.train[:1])
        return torch.cat([penalised(like, Textures(None)) for _ in range(TEXTURES)]).numpy()

    def learn(self, steps: Steps) -> Detector:
        detector, run = self.new(steps), Run(precision=self.precision)
        if self.algorithm == "efficientad":
            normals = Steps(self.images.train, split(len(self.images.train)))
            return detector.fit(steps, run, normals)
        frozen = detector.reads_features and self.precision != torch.float32
        return detector.fit(Features(steps, detector, run) if frozen else steps, run)

    def fit(self) -> float:
        started = time.process_time()
        self.detector = self.learn(Steps(self.images.train, self.order))
        return time.process_time() - started

    def export(self, folder: Path, int8: bool) -> None:
        side = self.images.test.shape[-1]
        self.detector.export(folder / "ours.onnx", (side, side))
        if int8:
            seen = self.images.train[:: max(1, len(self.images.train) // CALIBRATING)]
            quantise(folder / "ours.onnx", [image[None] for image in seen[:CALIBRATING]])
        self.onnx = OnnxDetector(folder / "ours.onnx")

    def image(self, number: int, runtime: str) -> float:
        """CPU milliseconds of a prediction."""
        image = self.images.test[number][None]
        started = time.process_time()
        self.predict(image, runtime)
        return 1000 * (time.process_time() - started)

    def predict(self, images: np.ndarray, runtime: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores (B,) and maps (B, H, W)."""
        if runtime == "onnx" and self.onnx:
            found = self.onnx.predict(images)
            return found.score, found.map
        scored = self.detector.predict(torch.from_numpy(images))
        return scored.score.numpy(), scored.map[:, 0].numpy()

    def figures(self, runtime: str) -> Figures:
        found = [self.predict(self.images.test[at], runtime) for at in split(len(self.images.test))]
        scores, maps = (np.concatenate(one) for one in zip(*found, strict=True))
        return judged(self.images, scores.tolist(), maps)


def split(count: int, size: int = 8) -> list[np.ndarray]:
    return np.split(np.arange(count), range(size, count, size))


class Peer:
    """The process of anomalib's side; its import takes half a minute."""

    def __init__(self, python: Path, log: Path) -> None:
        self.log, self.told = log, log.open("w")
        self.process = subprocess.Popen(
            [python, "-I", PEER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.told,
            text=True,
        )

    def ask(self, *command: object) -> Any:
        assert self.process.stdin and self.process.stdout
        with contextlib.suppress(BrokenPipeError):  # it has ended, and the log says why
            print(*command, file=self.process.stdin, flush=True)
        if not (answer := self.process.stdout.readline()):
            raise SystemExit(self.log.read_text()[-3000:])
        return json.loads(answer)

    def figures(self, folder: Path, images: Images) -> Figures:
        self.ask("score")
        maps = folder / "maps.npy"
        scores = np.load(folder / "scores.npy").tolist()
        return judged(images, scores, np.load(maps) if maps.exists() else None)

    def close(self) -> None:
        self.process.communicate()
        self.told.close()


def place(folder: Path, ours: Ours, order: np.ndarray, threads: int) -> None:
    """What anomalib's side reads."""
    job: dict[str, Any] = {
        "algorithm": ours.algorithm,
        "parameters": PARAMETERS[ours.algorithm],
        "weights": str(at_hand("resnet18")),
        "side": ours.images.test.shape[-1],
        "seed": ours.seed,
        "threads": threads,
        "few": FEW,
    }
    if ours.algorithm == "efficientad":
        job["teacher"] = str(ours.teacher)
        np.save(folder / "textures.npy", ours.textures())
        job["textures"] = str(folder / "textures.npy")
    if ours.algorithm == "padim":
        job["kept"] = ours.detector.get_buffer("kept").tolist()
    (folder / "job.json").write_text(json.dumps(job))
    np.save(folder / "train.npy", ours.images.train)
    np.save(folder / "test.npy", ours.images.test)
    np.save(folder / "order.npy", order)


def orders(images: int, options: argparse.Namespace, seed: int) -> np.ndarray:
    """Which images each step sees (steps, batch): all, in a new order each time round."""
    random, wanted = np.random.default_rng(seed), options.steps * options.batch
    rounds = [random.permutation(images) for _ in range(-(-wanted // images))]
    return np.concatenate(rounds)[:wanted].reshape(options.steps, options.batch)


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def measure(
    ours: Ours, order: np.ndarray, peer: Peer | None, options: argparse.Namespace, folder: Path
) -> dict[str, Figures]:
    """The figures of each side and runtime, in the order of COLUMNS."""
    place(folder, ours, order, options.threads)
    if peer:
        peer.ask("job", folder)
    fits: dict[str, list[float]] = {"ours": [], "anomalib": []}
    for _ in range(options.rounds):
        if peer:
            fits["anomalib"].append(peer.ask("fit"))
        fits["ours"].append(ours.fit())
    ours.export(folder, options.int8)
    taken: dict[str, list[float | None]] = {by: [] for by in BY}
    for number in range(options.timed + 1):  # the first warms up
        for by, values in taken.items():
            side, runtime = by.split(", ")
            if side == "ours":
                values.append(ours.image(number, runtime))
            elif peer:
                values.append(peer.ask("image", number, runtime))
    quality = {by: ours.figures(by.split(", ")[1]) for by in BY[:2]}
    if peer:
        quality[BY[2]] = peer.figures(folder, ours.images)
    return {
        by: [*quality.get(by, [None] * 3), median(fits[by.split(", ")[0]]), median(values[1:])]
        for by, values in taken.items()
        if values
    }


def shown(values: Sequence[float | None]) -> str:
    forms = (".4f", ".4f", ".4f", ".1f", ".1f")
    told = ("-" if v is None else f"{v:{form}}" for form, v in zip(forms, values, strict=True))
    return " | ".join(told)


def less(one: float | None, other: float | None) -> str:
    """How many times less the first is."""
    return f"{other / one:.1f} x" if one and other else "-"


def summary(found: dict[tuple[str, str], list[dict[str, Figures]]]) -> Iterator[str]:
    """Means over the seeds, ours less anomalib's; and how many times less ours takes."""
    yield "| product | algorithm | " + " | ".join(COLUMNS[:3]) + " | fit | torch | ONNX | shipped |"
    yield "|---|---|" + "---|" * 7
    for (product, algorithm), runs in found.items():
        means = {by: [mean(column) for column in zip(*(run[by] for run in runs), strict=True)]
                 for by in runs[0]}  # fmt: skip
        torch_, onnx, theirs, theirs_onnx = (means[by] for by in BY)
        apart = [
            "-" if one is None or other is None else f"{one - other:+.4f}"
            for one, other in zip(torch_[:3], theirs[:3], strict=True)
        ]
        times = [
            less(torch_[3], theirs[3]),
            less(torch_[4], theirs[4]),
            less(onnx[4], theirs_onnx[4]),
            less(onnx[4], theirs[4]),
        ]
        yield f"| {product} | {algorithm} | {' | '.join([*apart, *times])} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--peer", type=Path, help="the Python of an environment with anomalib")
    parser.add_argument("--algorithms", nargs="+", default=list(PARAMETERS), choices=PARAMETERS)
    parser.add_argument("--side", type=int, default=256, help="of the images, pixels")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument("--batch", type=int, default=8, help="of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rounds", type=int, default=1, help="fits of each side")
    parser.add_argument("--timed", type=int, default=10, help="predictions that are timed")
    parser.add_argument("--good", type=int, help="at most this many good images; all without")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--int8", action="store_true", help="what ships is in 8 bits")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.peer:
        print("anomalib is left out: name the Python of its environment with --peer\n")
    print(f"{options.threads} threads, {options.steps} steps of {options.batch} images\n")
    print("| product | pixels | algorithm | seed | by | " + " | ".join(COLUMNS) + " |")
    print("|---|---|---|---|---|" + "---|" * len(COLUMNS))
    found: dict[tuple[str, str], list[dict[str, Figures]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        peer = Peer(options.peer, Path(temporary) / "peer.log") if options.peer else None
        jobs = itertools.product(options.folders, options.algorithms, options.seeds)
        for root, algorithm, seed in jobs:
            side = PARAMETERS[algorithm].get("size", options.side)
            images = read(root, side, options.good)
            order = orders(len(images.train), options, seed)
            ours = Ours(algorithm, images, order, seed, options.precision)
            with tempfile.TemporaryDirectory(dir=temporary) as folder:
                one = measure(ours, order, peer, options, Path(folder))
            found.setdefault((root.name, algorithm), []).append(one)
            for by, figures in one.items():
                begin = f"| {root.name} | {side} | {algorithm} | {seed} | {by} | "
                print(f"{begin}{shown(figures)} |", flush=True)
        if peer:
            print("", *summary(found), sep="\n", flush=True)
            peer.close()


if __name__ == "__main__":
    main()
