"""What a step of training takes, in passes of ResNet-18: the figures of `estimate.TRAINING`.

python tests/benchmarks/bench_estimate.py [ALGORITHM...] [--seconds 10]

Each algorithm of `auto`, or those named, is fitted with its quick preset to 32 drawn images of 256
pixels, and stopped after so many seconds of processor time on one thread: other work on the machine
changes little. Prints for each stage the median step, in milliseconds and in passes.
"""

import argparse
import time
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import Any

import torch

from ad_models import Batch, Progress, Run, create
from ad_models.errors import Cancelled
from ad_models.probe import pass_seconds
from tasks.spec.read import default_params

SIDE, IMAGES, BATCH = 256, 32, 16


class Drawn:
    """Smooth noise, which has structure at the sizes that a backbone looks at."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        coarse = torch.randn(IMAGES, 3, SIDE // 16, SIDE // 16, generator=generator)
        self.images = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")

    def __len__(self) -> int:
        return IMAGES // BATCH

    def __iter__(self) -> Any:
        return (Batch(part, ["one", "other"] * (BATCH // 2)) for part in self.images.split(BATCH))


def steps_of(name: str, seconds: float) -> dict[str, list[float]]:
    """Times at which steps ended, by stage, the first one when the fit began."""
    params = default_params()
    asked = dict(params.algorithms.get(name) or {})
    asked = (params.presets.get(asked.pop("preset", ""), {}).get(name) or {}) | asked
    detector = create(name, **asked, weights="random") if name != "riad" else create(name, **asked)
    began, found = time.process_time(), dict[str, list[float]]()

    def report(progress: Progress) -> None:
        found.setdefault(progress.stage, []).append(time.process_time())

    def stop() -> bool:
        return time.process_time() - began > seconds

    run = Run(report=report, should_stop=stop, report_every=0.0)
    detector.announce(IMAGES)
    with suppress(Cancelled):
        detector.fit(Drawn(), run, Drawn() if detector.needs_normals else None)
    return {"start": [began], **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithms", nargs="*")
    parser.add_argument("--seconds", type=float, default=10.0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    time.perf_counter = time.process_time  # type: ignore[assignment] # of `pass_seconds`
    unit = pass_seconds("resnet18", (SIDE, SIDE), torch.device("cpu"))
    print(f"a pass: {1000 * unit:.1f} ms")
    for name in chosen.algorithms or [n for row in default_params().auto.values() for n in row]:
        before = 0.0
        for stage, ends in steps_of(name, chosen.seconds).items():
            times = [after - one for one, after in pairwise(ends)]
            times = times or [ends[0] - before]  # a single step, with what came before it
            before = ends[-1]
            if stage != "start":
                step = median(times)
                print(f"{name} {stage}: {1000 * step:.0f} ms, {step / unit:.2f} passes a step")


if __name__ == "__main__":
    main()
