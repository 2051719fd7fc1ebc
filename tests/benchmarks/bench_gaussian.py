"""CPU seconds and extra memory of Gaussians at every position, beside another way to fit them.

python tests/benchmarks/bench_gaussian.py [--images 200] [--dims 100] [--side 56] [--repeats 3]

Vectors are drawn batch by batch, as a backbone would give them; what is counted is the fit. Each
measurement runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection

import torch
from torch import Tensor

from ad_models.gaussian import FewRows, RunningGaussian, whitening

CONTEXT = multiprocessing.get_context("spawn")
BATCH = 16
RIDGE = 0.01
Case = tuple[int, int, int]  # images, positions, dims


def draw(number: int, images: int, positions: int, dims: int) -> Tensor:
    """Vectors (images, positions, dims), correlated, their mean far from zero."""
    random = torch.Generator().manual_seed(number)
    x = torch.randn(images, positions, dims, generator=random)
    return x.cumsum_(2).mul_(0.1).add_(1)


def batches(case: Case) -> list[tuple[int, int]]:
    """Number and size of each batch."""
    return [(i, min(BATCH, case[0] - i)) for i in range(0, case[0], BATCH)]


def ours(case: Case) -> object:
    """The form PaDiM would take."""
    images, positions, dims = case
    gathered: RunningGaussian | FewRows
    if FewRows.saves(images, dims):
        gathered = FewRows(positions, dims, images, torch.device("cpu"))
    else:
        gathered = RunningGaussian(positions, dims, torch.device("cpu"))
    for number, size in batches(case):
        gathered.update(draw(number, size, positions, dims))
    if isinstance(gathered, FewRows):
        mean = gathered.centre()
        return mean, gathered.rows, whitening(gathered.rows @ gathered.rows.mT, RIDGE * images)
    gathered.scatter /= images - 1
    return gathered.mean, whitening(gathered.scatter, RIDGE)


def covariances(case: Case) -> object:
    """Always P * D * D."""
    gathered = RunningGaussian(*case[1:], torch.device("cpu"))
    for number, size in batches(case):
        gathered.update(draw(number, size, *case[1:]))
    gathered.scatter /= case[0] - 1
    return gathered.mean, whitening(gathered.scatter, RIDGE)


def anomalib(case: Case) -> object:
    """anomalib's MultiVariateGaussian, which is given all vectors at once (N, D, h, w)."""
    from anomalib.models.components.stats import MultiVariateGaussian

    parts = [draw(number, size, *case[1:]) for number, size in batches(case)]
    kept = torch.vstack([part.mT.unflatten(2, (-1, int(case[1] ** 0.5))) for part in parts])
    del parts
    return MultiVariateGaussian().fit(kept)


def nothing(case: Case) -> object:
    """Only to draw the vectors: taken off the rest."""
    for number, size in batches(case):
        draw(number, size, *case[1:])
    return None


def measure(method: Callable[[Case], object], case: Case) -> tuple[float, float, float]:
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
    method((4, 16, 8))  # imports, and torch's first call
    before, cpu, wall = _peak(), time.process_time(), time.perf_counter()
    kept = method(case)
    taken = (time.process_time() - cpu, time.perf_counter() - wall, _peak() - before)
    send.send(taken)
    del kept


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line a method, medians; seconds without those to draw the vectors."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--dims", type=int, default=100)
    parser.add_argument("--side", type=int, default=56, help="of the grid")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    case = (options.images, options.side**2, options.dims)
    methods = [nothing, ours]
    if FewRows.saves(options.images, options.dims):
        methods.append(covariances)
    if find_spec("anomalib"):
        methods.append(anomalib)
    drawn = (0.0, 0.0)
    for method in methods:
        runs = [measure(method, case) for _ in range(options.repeats)]
        cpu, wall, memory = map(statistics.median, zip(*runs, strict=True))
        print(
            f"{method.__name__:12} CPU {cpu - drawn[0]:8.2f} s, wall {wall - drawn[1]:8.2f} s,"
            f" {memory:7.1f} MB",
            flush=True,
        )
        if method is nothing:
            drawn = (cpu, wall)


if __name__ == "__main__":
    main()
