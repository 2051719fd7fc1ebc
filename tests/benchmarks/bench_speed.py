"""ms per image of algorithms on a CPU: torch, ONNX Runtime, and anomalib's where it has the same.
With --train also what a training image takes, of what is trained in steps.

python tests/benchmarks/bench_speed.py fastflow reverse_distillation efficientad \\
    [--side 256] [--batches 1 16] [--threads 2] [--rounds 5] [--anomalib] \\
    [--train] [--int8] [--cpu-time]
Weights are random, which changes no time; shapes are those of resnet18 where there is a backbone.
NAME:KEY=VALUE,... sets parameters. What a fit has to gather (a memory, Gaussians, quantiles) comes
from a fit of one epoch on noise. anomalib's models are built with the same shapes, and are run in
torch and, as it exports them, in ONNX Runtime. Every round takes each of them once. --cpu-time
counts what the process worked instead of what passed: on a shared machine, with --threads 1.
"""

import argparse
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from ad_models import Batch, Detector, create
from tasks.models.onnx import OnnxDetector
from tasks.models.quantise import quantise
from tasks.spec.algorithms import config_fields

ROWS = 2000  # of PatchCore's memory: about 1 % of the patches of 200 images
SHAPES: dict[str, dict[str, Any]] = {
    "efficientad": {"steps": 1, "teacher_steps": 1},
    "fastflow": {"kernels": [3]},
    "padim": {"dims": 100},
    "patchcore": {"projected": 8},  # the coreset of noise need not be good
}
Run = Callable[[Tensor], Any]
TRAINED = ("efficientad", "fastflow", "reverse_distillation")
CLOCKS = {False: time.perf_counter, True: time.process_time}


def parameters(name: str, side: int, more: dict[str, Any]) -> dict[str, Any]:
    """Ours, for the shapes of a real fit."""
    general = {"backbone": "resnet18", "weights": "random", "epochs": 1} | SHAPES.get(name, {})
    if name == "patchcore":
        general["ratio"] = ROWS / (8 * (side // 8) ** 2)
    return {key: value for key, value in general.items() if key in config_fields(name)} | more


def fitted(name: str, side: int, more: dict[str, Any]) -> Detector:
    """Our detector with the shapes of a real fit."""
    noise = [Batch(torch.randn(4, 3, side, side), ["part"] * 4) for _ in range(2)]
    return create(name, **parameters(name, side, more)).fit(noise, normals=noise[:1])


def exported(detector: Detector, side: int, folder: Path) -> Run | None:
    """The detector as ONNX Runtime runs it, or None where it cannot be exported."""
    if detector.no_export:
        return None
    path = folder / f"{type(detector).__name__}.onnx"
    detector.export(path, (side, side))
    model = OnnxDetector(path)
    return lambda images: model.predict(images.numpy())


def in_8_bits(detector: Detector, side: int, folder: Path) -> Run:
    """The exported detector as it ships with `release.int8`."""
    name = type(detector).__name__
    path = Path(shutil.copy(folder / f"{name}.onnx", folder / f"{name}_int8.onnx"))
    quantise(path, [torch.randn(1, 3, side, side).numpy() for _ in range(4)])
    model = OnnxDetector(path)
    return lambda images: model.predict(images.numpy())


def peer(name: str, side: int) -> nn.Module | None:
    """anomalib's model of the same shapes, or None where it has none that is compared."""
    layers = ["layer1", "layer2", "layer3"]
    given: dict[str, Any] = {"backbone": "resnet18", "pre_trained": False}
    model: Any = None
    if name == "fastflow":
        from anomalib.models.image.fastflow.torch_model import FastflowModel

        model = FastflowModel(input_size=(side, side), conv3x3_only=True, **given)
    elif name == "reverse_distillation":
        from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
        from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel

        mode = AnomalyMapGenerationMode.ADD
        model = ReverseDistillationModel(
            input_size=(side, side), layers=layers, anomaly_map_mode=mode, **given
        )
    elif name == "efficientad":
        from anomalib.models.image.efficient_ad.torch_model import EfficientAdModel

        model = EfficientAdModel()
    elif name == "padim":
        from anomalib.models.image.padim.torch_model import PadimModel

        model = PadimModel(layers=layers, n_features=100, **given)
        positions = (side // 4) ** 2
        model.gaussian.mean = torch.randn(100, positions)
        model.gaussian.inv_covariance = torch.eye(100).repeat(positions, 1, 1)
    elif name == "patchcore":
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel

        model = PatchcoreModel(layers=layers[1:], **given)
        model.memory_bank = torch.randn(ROWS, 384)
    return model if model is None else model.eval()


def exported_peer(model: nn.Module, name: str, side: int, folder: Path) -> Run:
    """anomalib's model as ONNX Runtime runs it, by torch's tracing exporter as anomalib does."""
    import onnxruntime

    path = folder / f"anomalib_{name}.onnx"
    images = torch.zeros(1, 3, side, side)
    axes = {"input": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model, (images,), str(path), input_names=["input"], dynamic_axes=axes, dynamo=False
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {"input": batch.numpy()})


def parsed(argument: str) -> tuple[str, dict[str, Any]]:
    """NAME and its parameters of NAME:KEY=VALUE,..."""
    name, _, rest = argument.partition(":")
    pairs = (part.partition("=") for part in rest.split(","))
    return name, {key: yaml.safe_load(value) for key, _, value in pairs if value}


def runs_of(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Run | None]:
    """What is timed of an algorithm, by column."""
    name, more = parsed(name)
    detector = fitted(name, options.side, more)
    runs = {"torch": detector.predict, "onnx": exported(detector, options.side, folder)}
    if options.int8 and runs["onnx"]:
        runs["onnx int8"] = in_8_bits(detector, options.side, folder)
    if options.anomalib:
        model = peer(name, options.side)
        runs["anomalib torch"] = model
        runs["anomalib onnx"] = model and exported_peer(model, name, options.side, folder)
    return runs


class Stamped:
    """Yields the same batch again and again, and notes when each was asked for."""

    def __init__(self, batch: Batch, count: int, clock: Callable[[], float]) -> None:
        self.batch, self.count, self.clock = batch, count, clock
        self.asked: list[float] = []

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        self.asked = []  # of the last pass, which is one of training
        for _ in range(self.count):
            self.asked.append(self.clock())
            yield self.batch
        self.asked.append(self.clock())

    def milliseconds(self) -> float:
        """Median per image, without the first batch, which warms up."""
        pairs = zip(self.asked[1:], self.asked[2:], strict=False)
        return 1000 * statistics.median(b - a for a, b in pairs) / len(self.batch.image)


def trained(argument: str, options: argparse.Namespace, folder: Path) -> float:
    """ms of one of our training images, by one pass of a fit."""
    name, more = parsed(argument)
    given = parameters(name, options.side, more)
    count = 1 if name == "efficientad" else options.batches[-1]
    if name == "efficientad":
        given |= {"natural": "drawn", "steps": options.rounds, "teacher": str(folder / "teacher")}
        create(name, **given).teacher.write(folder / "teacher.safetensors")
        given["teacher"] += ".safetensors"
    images = torch.randn(count, 3, options.side, options.side)
    loader = Stamped(Batch(images), options.rounds, CLOCKS[options.cpu_time])
    create(name, **given).fit(loader)
    return loader.milliseconds()


def trained_peer(argument: str, options: argparse.Namespace) -> float | None:
    """The same of anomalib's model, with its own loss and optimiser."""
    name, _ = parsed(argument)
    model: Any = peer(name, options.side)
    count = 1 if name == "efficientad" else options.batches[-1]
    images = torch.rand(count, 3, options.side, options.side)
    if name == "fastflow":
        from anomalib.models.image.fastflow.loss import FastflowLoss

        losses = [FastflowLoss()]
        parts, more = model.parameters(), {"weight_decay": 1e-5}
    elif name == "reverse_distillation":
        from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss

        losses = [ReverseDistillationLoss()]
        parts, more = [*model.decoder.parameters(), *model.bottleneck.parameters()], {}
    else:
        losses = []
        parts, more = [*model.student.parameters(), *model.ae.parameters()], {"weight_decay": 1e-5}
    optimiser = torch.optim.Adam(parts, **more)
    model.train()
    loader = Stamped(Batch(images), options.rounds, CLOCKS[options.cpu_time])
    for batch in loader:
        if losses:
            loss = losses[0](*model(batch.image))
        else:
            loss = sum(model(batch=batch.image, batch_imagenet=batch.image))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loader.milliseconds()


def milliseconds(run: Run, images: Tensor, clock: Callable[[], float]) -> float:
    """Time of one call, per image."""
    start = clock()
    run(images)
    return 1000 * (clock() - start) / len(images)


def main() -> None:
    """Print one line an algorithm and batch size: medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("algorithms", nargs="+", metavar="NAME[:KEY=VALUE,...]")
    parser.add_argument("--side", type=int, default=256, help="of the images, pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--anomalib", action="store_true", help="its models too, if it is there")
    parser.add_argument("--train", action="store_true", help="training images too")
    parser.add_argument("--int8", action="store_true", help="what ships with release.int8 too")
    parser.add_argument("--cpu-time", action="store_true", help="of this process, not on the wall")
    options = parser.parse_args()
    if options.anomalib and not find_spec("anomalib"):
        print("anomalib cannot be imported: its columns are left out")
        options.anomalib = False
    torch.set_num_threads(options.threads)
    print(f"ms per image, {options.side} x {options.side}, {options.threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        for argument in options.algorithms if options.train else []:
            if parsed(argument)[0] in TRAINED:
                ours = trained(argument, options, Path(folder))
                theirs = trained_peer(argument, options) if options.anomalib else None
                told = "-" if theirs is None else f"{theirs:.1f}"
                print(f"{argument:24} training: ours {ours:.1f}, anomalib {told}", flush=True)
        tables = {name: runs_of(name, options, Path(folder)) for name in options.algorithms}
        columns = list(next(iter(tables.values())))
        print(f"{'':24} {'batch':>5} " + " ".join(f"{column:>14}" for column in columns))
        for count in options.batches:
            images = torch.randn(count, 3, options.side, options.side)
            with torch.no_grad():
                found = medians(tables, images, options.rounds, CLOCKS[options.cpu_time])
            for name in tables:
                cells = [found.get((name, column)) for column in columns]
                shown = " ".join(
                    f"{'-':>14}" if cell is None else f"{cell:14.1f}" for cell in cells
                )
                print(f"{name.partition(':')[0]:24} {count:5} {shown}", flush=True)


def medians(
    tables: dict[str, dict[str, Run | None]],
    images: Tensor,
    rounds: int,
    clock: Callable[[], float],
) -> dict[tuple[str, str], float]:
    """Median ms per image by algorithm and column. Rounds: a change of load falls on everyone."""
    runs = {(n, column): run for n, table in tables.items() for column, run in table.items() if run}
    found: dict[tuple[str, str], list[float]] = {key: [] for key in runs}
    for number in range(rounds + 1):  # the first warms up
        for key, run in runs.items():
            took = milliseconds(run, images, clock)
            found[key] += [took] if number else []
    return {key: statistics.median(times) for key, times in found.items()}


if __name__ == "__main__":
    main()
