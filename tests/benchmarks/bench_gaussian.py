"""CPU seconds and extra memory of Gaussians at every position, beside another way to fit them.

python tests/benchmarks/bench_gaussian.py [--images 200] [--dims 100] [--side 56] [--batch 8]

Vectors are drawn batch by batch, as a backbone would give them; the clocks stand while they are.
Each measurement runs in a process of its own, so that its peak memory is its own, and the ways take
turns, so that a machine that slows down slows all of them.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from ad_models.gaussian import FewRows, RunningGaussian, whitening

CONTEXT = multiprocessing.get_context("spawn")
RIDGE = 0.01
Case = tuple[int, int, int, int]  # images, positions, dims, batch


class Batches:
    """Vectors (B, positions, dims) of a case, correlated, their mean far from zero."""

    def __init__(self, case: Case) -> None:
        self.images, self.positions, self.dims, self.batch = case
        self.cpu = self.wall = 0.0  # seconds that drawing took

    def __iter__(self) -> Iterator[Tensor]:
        for start in range(0, self.images, self.batch):
            yield self.draw(start, min(self.batch, self.images - start))

    def draw(self, seed: int, images: int) -> Tensor:
        cpu, wall = time.process_time(), time.perf_counter()
        random = torch.Generator().manual_seed(seed)
        x = torch.randn(images, self.positions, self.dims, generator=random)
        x.cumsum_(2).mul_(0.1).add_(1)
        self.cpu += time.process_time() - cpu
        self.wall += time.perf_counter() - wall
        return x


def ours(batches: Batches) -> object:
    """The form PaDiM would take."""
    if not FewRows.saves(batches.images, batches.dims):
        return covariances(batches)
    few = FewRows(batches.positions, batches.dims, batches.images, torch.device("cpu"))
    for x in batches:
        few.update(x)
        del x  # before the next is drawn
    mean = few.centre()
    return mean, few.rows, whitening(few.rows @ few.rows.mT, RIDGE * batches.images)


def covariances(batches: Batches) -> object:
    """Always P * D * D."""
    gaussian = RunningGaussian(batches.positions, batches.dims, torch.device("cpu"))
    for x in batches:
        gaussian.update(x)
        del x  # before the next is drawn
    mean, covariance = gaussian.estimate()
    return mean, whitening(covariance, RIDGE)


def anomalib(batches: Batches) -> object:
    """anomalib's MultiVariateGaussian, which is given all vectors at once (N, D, h, w)."""
    from anomalib.models.components.stats import MultiVariateGaussian

    side = int(batches.positions**0.5)
    parts = [x.mT.unflatten(2, (side, side)) for x in batches]
    kept = torch.vstack(parts)
    del parts
    return MultiVariateGaussian().fit(kept)


def measure(method: Callable[[Batches], object], case: Case) -> tuple[float, float, float]:
    """CPU seconds, wall seconds and MB more than before."""
    receive, send = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_report, args=(send, method, case, torch.get_num_threads()))
    process.start()
    send.close()
    answer = receive.recv()
    process.join()
    return answer


def _report(send: Connection, method: Callable, case: Case, threads: int) -> None:
    torch.set_num_threads(threads)
    method(Batches((4, 16, 8, 2)))  # imports, and torch's first call
    batches = Batches(case)
    before, cpu, wall = _peak(), time.process_time(), time.perf_counter()
    kept = method(batches)
    cpu, wall = time.process_time() - cpu - batches.cpu, time.perf_counter() - wall - batches.wall
    send.send((cpu, wall, _peak() - before))
    del kept


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line a method, medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--dims", type=int, default=100)
    parser.add_argument("--side", type=int, default=56, help="of the grid")
    parser.add_argument("--batch", type=int, default=8, help="images that come at once")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    case = (options.images, options.side**2, options.dims, options.batch)
    methods = [ours]
    if FewRows.saves(options.images, options.dims):
        methods.append(covariances)
    if find_spec("anomalib"):
        methods.append(anomalib)
    rounds = [[measure(method, case) for method in methods] for _ in range(options.repeats)]
    for method, runs in zip(methods, zip(*rounds, strict=True), strict=True):
        cpu, wall, memory = map(statistics.median, zip(*runs, strict=True))
        print(f"{method.__name__:12} CPU {cpu:8.2f} s, wall {wall:8.2f} s, {memory:7.1f} MB")


if __name__ == "__main__":
    main()
