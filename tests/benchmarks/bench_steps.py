"""What a step of training takes with each preset, and what the whole fit would.

python tests/benchmarks/bench_steps.py [ALGORITHM...] [--presets quick paper] [--seconds 20]

Each algorithm that trains is fitted to 200 drawn images of the preset's size, on one thread, and
stopped after so many seconds of processor time: other work on the machine changes little. Large
batches are measured as small ones of two images or more, and the time is taken to grow with the
images. Where the line keeps features of the backbone, they are given, so that a step is what it is
after the first pass. Prints the median step, the steps of a whole fit, and its processor time in
hours, with each preset.
"""

import argparse
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any, cast

import torch
from torch import Tensor

from ad_models import Batch, Detector, Progress, Run, create, kind
from ad_models.errors import Cancelled
from ad_models.seen import Seen
from tasks.spec.algorithms import config_fields, known_algorithms
from tasks.spec.read import default_params
from tasks.spec.schema import IMAGE, TRAINING

IMAGES = 200
PIXELS = 2 * 65536  # of a batch, from which on a smaller one is measured
# A look at what comes after a long first stage, and at a network behind a coreset.
LATER: dict[str, list[dict[str, Any]]] = {
    "efficientad": [{}, {"teacher_steps": 1}],
    "f_anogan": [{}, {"epochs": 1, "batches": 1}],
    "pni": [{"ratio": 0.0002}],
}
ONE_BY_ONE = ("efficientad", "learn")  # each image of a batch is a step of its own
PATCHWISE = ("pni", "reconpatch")  # their steps are of the patches of all images, whatever a batch


class Drawn:
    """The same few images in every batch: smooth noise, or its features."""

    def __init__(self, images: Tensor, count: int) -> None:
        self.images, self.count = images, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        names = ["one"] * len(self.images)
        return iter([Batch(self.images, names)] * self.count)


@dataclass
class Stage:
    """What a stage of a fit was seen to take."""

    seconds: float  # of a step
    steps: int  # of the whole stage


def drawn(batch: int, size: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(batch, 3, 16, 16, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")


def resolved(name: str, preset: str) -> tuple[dict[str, Any], tuple[int, int], int]:
    """Parameters, size and batch size of a preset."""
    found = dict(default_params().presets.get(preset, {}).get(name) or {})
    size = (found.pop(IMAGE, None) or {}).get("size", 256)
    batch = (found.pop(TRAINING, None) or {}).get("batch_size", 16)
    return found, (size, size) if isinstance(size, int) else tuple(size), batch


def stages_of(name: str, preset: str, seconds: float) -> dict[str, Stage]:
    """What the stages of a fit were seen to take, by name."""
    asked, size, batch = resolved(name, preset)
    if "weights" in config_fields(name):
        asked["weights"] = "random"
    few = max(2, PIXELS // (size[0] * size[1]))
    own = "batch" in config_fields(name)
    whole = cast(int, getattr(create(name, **asked).config, "batch", batch)) if own else batch
    small = min(whole, few)
    asked |= {"batch": small} if own else {}
    found: dict[str, Stage] = {}
    for shrunk in LATER.get(name, [{}]):
        detector = create(name, **asked | shrunk)
        given = drawn(small, size)
        if detector.reads_features:
            given = features(detector, given)
        counted = "epochs" in config_fields(name)  # or steps, whatever the images
        loader = Drawn(given, math.ceil(IMAGES / whole) if counted else 2)
        for stage, one in timed(detector, loader, seconds).items():
            if (name, stage) == ONE_BY_ONE:
                one.seconds, one.steps = one.seconds / small, one.steps * small
            elif name not in PATCHWISE:
                one.seconds *= whole / small
            if name in PATCHWISE and not asked.get("batches"):
                one.steps *= math.ceil(whole / small)
            found.setdefault(stage, one)
    return found


def features(detector: Detector, images: Tensor) -> Tensor:
    """The features that the line keeps of images."""
    with torch.no_grad():
        maps = getattr(detector, detector.reads_features)(images)
    return cast(Tensor, Seen(list(maps), (images.shape[-2], images.shape[-1])))


def timed(detector: Detector, loader: Drawn, seconds: float) -> dict[str, Stage]:
    """The median step of each stage that came up in so many seconds of training."""
    ends: dict[str, list[float]] = {}
    steps: dict[str, int] = {}

    def report(progress: Progress) -> None:
        ends.setdefault(progress.stage, []).append(time.process_time())
        steps[progress.stage] = progress.epochs * (progress.steps or 1)

    began = time.process_time()
    stop = lambda: time.process_time() - began > seconds  # noqa: E731
    run = Run(report=report, should_stop=stop, report_every=0.0)
    detector.announce(IMAGES)
    with suppress(Cancelled):
        detector.fit(loader, run, loader if detector.needs_normals else None)
    before = began
    found = {}
    for stage, times in ends.items():
        each = [after - one for one, after in pairwise(times)] or [times[0] - before]
        before = times[-1]
        found[stage] = Stage(median(each), steps[stage])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithms", nargs="*")
    parser.add_argument("--presets", nargs="+", default=["quick", "standard", "paper"])
    parser.add_argument("--seconds", type=float, default=20.0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for name in chosen.algorithms or [n for n in known_algorithms() if not kind(n).one_pass]:
        for preset in chosen.presets:
            if name not in default_params().presets[preset]:
                continue
            total = 0.0
            for stage, one in stages_of(name, preset, chosen.seconds).items():
                hours = one.seconds * one.steps / 3600
                total += hours
                print(
                    f"{name} {preset} {stage}: {one.seconds:.3f} s a step, {one.steps} steps, "
                    f"{hours:.2f} h",
                    flush=True,
                )
            print(f"{name} {preset}: {total:.2f} hours of one core", flush=True)


if __name__ == "__main__":
    main()
