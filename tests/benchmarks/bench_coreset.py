"""CPU seconds, wall seconds and extra memory of the coreset beside two other ways to choose it.

python tests/benchmarks/bench_coreset.py [--points 20000] [--ratio 0.01] [--repeats 3]
Each measurement runs in a forked process, so that its peak memory is its own (not on Windows).
A first call is printed beside them and not in the rest.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor

from ad_models.coreset import cover

CONTEXT = multiprocessing.get_context("fork")


def make_points(count: int, dims: int) -> Tensor:
    """Clusters of unequal width, made without torch: its threads do not survive a fork."""
    random = np.random.default_rng(0)
    centres = 3 * random.standard_normal((60, dims), np.float32)
    widths = random.uniform(0.2, 1, (count, 1)).astype(np.float32)
    points = random.standard_normal((count, dims), np.float32)
    points *= widths
    points += centres[random.integers(0, 60, count)]
    return torch.from_numpy(points)


def ours(x: Tensor, count: int) -> Tensor:
    """Indices by this repository."""
    return cover(x, count).indices


def plain_torch(x: Tensor, count: int) -> Tensor:
    """Indices by a loop of torch calls: the expanded square, in place."""
    norms = x.square().sum(1)
    nearest = torch.full_like(norms, torch.inf)
    distances = torch.empty_like(norms)
    chosen = torch.empty(count, dtype=torch.long)
    at = int(torch.randint(len(x), (1,), generator=torch.Generator().manual_seed(0)))
    for done in range(count):
        chosen[done] = at
        torch.addmv(norms, x, x[at], beta=1.0, alpha=-2.0, out=distances)
        distances += norms[at]
        torch.minimum(nearest, distances, out=nearest)
        nearest[at] = 0
        at = int(nearest.argmax())
    return chosen


def anomalib(x: Tensor, count: int) -> Tensor:
    """Indices by anomalib, without its own projection: vectors of 3 axes are not projected."""
    from anomalib.models.components.sampling.k_center_greedy import KCenterGreedy

    chosen = KCenterGreedy(x.unsqueeze(1), (count + 0.5) / len(x)).select_coreset_idxs()
    return torch.as_tensor([int(index) for index in chosen])


Method = Callable[[Tensor, int], Tensor]


def measure(method: Method, x: Tensor, count: int) -> list[float]:
    """CPU s, wall s, extra peak MB, radius, CPU s of the first call; in a process of its own."""
    receive, send = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=_report, args=(send, method, x, count))
    process.start()
    answer: list[float] = receive.recv()
    process.join()
    return answer


def _report(send: Connection, method: Method, x: Tensor, count: int) -> None:
    start = time.process_time()
    method(x[:1000], 10)
    first = time.process_time() - start
    before, start, wall = _peak(), time.process_time(), time.perf_counter()
    chosen = method(x, count)
    taken = [time.process_time() - start, time.perf_counter() - wall, _peak() - before]
    send.send([*taken, _radius(x, x[chosen]), first])


def _radius(x: Tensor, centres: Tensor) -> float:
    return max(float(torch.cdist(part, centres).amin(1).max()) for part in x.split(4096))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line a method, medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--dims", type=int, default=128)
    parser.add_argument("--ratio", type=float, default=0.01, help="of the points to choose")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    x = make_points(options.points, options.dims)
    count = round(options.ratio * options.points)
    print(f"{count} of {tuple(x.shape)}, {torch.get_num_threads()} threads")
    methods: list[Method] = [ours, plain_torch]
    if find_spec("anomalib"):
        methods.append(anomalib)
    for method in methods:
        runs = [measure(method, x, count) for _ in range(options.repeats)]
        cpu, wall, memory, radius, first = map(statistics.median, zip(*runs, strict=True))
        print(
            f"{method.__name__:12} first call {first:5.2f} s; then CPU {cpu:8.2f} s,"
            f" wall {wall:8.2f} s, {memory:6.1f} MB, radius {radius:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
