"""Seconds and peak memory of PatchCore on large images, and what the memory bound costs.

python tests/benchmarks/bench_highres.py [--images 200] [--side 1024] [--backbone resnet18]
    [--bank-size 16384] [--budget 3] [--shown 3]
python tests/benchmarks/bench_highres.py --compare --images 40 --side 256

Each fit runs in a process of its own, whose peak is that of the whole process, with Python and
torch. Images are drawn, weights random: neither changes what it takes. With --compare the same
images are also fitted without a bound, and once more with another seed, which says how much of a
difference is due to chance.
"""

import argparse
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models import Batch, Progress, Run, create

CONTEXT = multiprocessing.get_context("spawn")


class Drawn:
    """`count` images of woven noise, two a batch, drawn when they are asked for."""

    def __init__(self, count: int, side: int) -> None:
        self.count, self.side = count, side

    def __len__(self) -> int:
        return (self.count + 1) // 2

    def __iter__(self) -> Iterator[Batch]:
        for first in range(0, self.count, 2):
            numbers = range(first, min(first + 2, self.count))
            yield Batch(torch.stack([draw(number, self.side) for number in numbers]))


def draw(number: int, side: int, spoiled: bool = False) -> Tensor:
    """Image (3, side, side) number `number`: stripes, blotches and grain, or one with a square."""
    random = torch.Generator().manual_seed(number)
    coarse = torch.randn(1, 3, side // 32, side // 32, generator=random)
    image = F.interpolate(coarse, size=(side, side), mode="bicubic")[0]
    across = torch.linspace(0, 0.4 * side, side) + 6.3 * torch.rand(1, generator=random)
    image = 0.5 * image + torch.sin(across) + 0.2 * torch.randn(3, side, side, generator=random)
    if spoiled:
        image[:, side // 4 : side // 3, side // 4 : side // 3] += 2.0
    return image


def work(send: Connection, options: argparse.Namespace, parameters: dict, seed: int) -> None:
    """Fit and predict; send what it took and the scores."""
    torch.set_num_threads(options.threads)
    started = time.monotonic()

    def report(progress: Progress) -> None:
        at = f"{time.monotonic() - started:7.0f} s  {resident():5.0f} MB"
        print(f"{at}  {progress.stage} {progress.step}/{progress.steps}", flush=True)

    print(f"{resident():.0f} MB before the fit", flush=True)
    run = Run(report=report, report_every=30, say=lambda text: print(text, flush=True))
    detector = create("patchcore", backbone=options.backbone, weights="random", **parameters)
    detector.config = replace(detector.config, seed=seed)  # of the coreset: weights stay the same
    detector.fit(Drawn(options.images, options.side), run)
    fitted, cpu, most = time.monotonic() - started, time.process_time(), peak()
    print({**detector.record, "fit_s": round(fitted), "cpu_s": round(cpu), "peak_mb": most})
    started = time.monotonic()
    scores = [
        float(detector.predict(draw(10**6 + n, options.side, n % 2 == 1)[None]).score)
        for n in range(options.shown)
    ]
    each = (time.monotonic() - started) / max(1, options.shown)
    print({"predict_s": round(each, 2), "peak_mb": peak(), "scores": scores}, flush=True)
    send.send(scores)


def peak() -> int:
    """MB, at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def resident() -> float:
    """MB now; Linux only."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(options: argparse.Namespace, seed: int = 0, **parameters: object) -> list[float]:
    """Scores of a detector that was fitted in a process of its own."""
    print(parameters, flush=True)
    receive, send = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=work, args=(send, options, parameters, seed))
    process.start()
    send.close()
    scores: list[float] = receive.recv()
    process.join()
    return scores


def main() -> None:
    """Print what each fit took; with --compare, how far scores lie from the unbounded ones."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--bank-size", type=int, default=16384)
    parser.add_argument("--budget", type=float, default=3.0, help="GB")
    parser.add_argument("--shown", type=int, default=3, help="images that are scored")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compare", action="store_true")
    options = parser.parse_args()
    bank = {"bank_size": options.bank_size}
    if not options.compare:
        measure(options, **bank, memory_budget=options.budget)
        return
    whole = torch.tensor(measure(options, **bank, two_stage=False))
    others = {
        "two stages": measure(options, **bank, two_stage=True),
        "another seed": measure(options, 1, **bank, two_stage=False),
    }
    for name, scores in others.items():
        off = (torch.tensor(scores) / whole - 1).abs()
        print(f"{name}: off by {off.mean():.3%} in the mean, {off.max():.3%} at most", flush=True)


if __name__ == "__main__":
    main()
