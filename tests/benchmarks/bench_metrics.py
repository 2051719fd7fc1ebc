"""CPU seconds and extra memory of the pixel metrics beside other ways to compute them.

python tests/benchmarks/bench_metrics.py [--images 400] [--repeats 3] [--large]
Where anomalib can be imported its AUPRO and AUROC are measured too. Each measurement runs in a
forked process, so that its peak memory is its own (not on Windows).
"""

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2]))
from tasks.metrics.pixel import PixelMetrics

Array = NDArray[Any]
LIMIT = 0.3
Values = tuple[float | None, float | None]  # AUPRO, pixel AUROC
Method = Callable[[Array, Array], Values]


def make_maps(images: int, size: int, seed: int = 0) -> tuple[Array, Array]:
    """Smooth float32 maps and masks (B, H, W); two of five images hold one or two blobs."""
    random = np.random.default_rng(seed)
    maps = np.empty((images, size, size), np.float32)
    masks = np.zeros((images, size, size), bool)
    rows, columns = np.ogrid[:size, :size]
    for number in range(images):
        for _ in range(random.integers(1, 3) if number % 5 < 2 else 0):
            (y, x), radius = random.uniform(0.1, 0.9, 2), random.uniform(0.04, 0.11)
            inside = (rows - y * size) ** 2 + (columns - x * size) ** 2 < (radius * size) ** 2
            masks[number] |= inside
        noise = random.standard_normal((size, size), np.float32)
        maps[number] = ndimage.gaussian_filter(noise, 4 * size / 256) * 14
        maps[number] += masks[number] * random.exponential(1.5)
    low, high = maps.min(), maps.max()
    maps -= low  # to 0..1, which changes no value
    maps /= high - low
    return maps, masks


def streamed(maps: Array, masks: Array) -> Values:
    """AUPRO and pixel AUROC of this repository, with every other figure of `compute`."""
    found = _measured(maps, masks).compute()
    return found["aupro_30"], found["pixel_auroc"]


def streamed_with_all(maps: Array, masks: Array) -> Values:
    """The same with intervals of 1,000 resamples and the figures of three types."""
    metrics = _measured(maps, masks, resamples=1000)
    found = metrics.compute()
    metrics.intervals()
    metrics.by_type()
    return found["aupro_30"], found["pixel_auroc"]


def _measured(maps: Array, masks: Array, resamples: int = 0) -> PixelMetrics:
    metrics = PixelMetrics(intervals=resamples)
    for at in _batches(maps):
        metrics.update(maps[at], masks[at], ["abc"[number % 3] for number in range(len(maps[at]))])
    return metrics


def _batches(maps: Array) -> Iterator[slice]:
    return (slice(start, start + 8) for start in range(0, len(maps), 8))


def full_sort(maps: Array, masks: Array) -> Values:
    """AUPRO by one sort of all pixels with their cumulated weights."""
    weights, regions = np.zeros(maps.shape), 0
    for weight, mask in zip(weights, masks, strict=True):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        weight[mask] = 1 / np.bincount(labels.ravel())[labels[mask]]
        regions += count
    order = np.argsort(maps.ravel())[::-1]
    scores, background = maps.ravel()[order], ~masks.ravel()[order]
    fpr = np.cumsum(background) / background.sum()
    pro = np.cumsum(weights.ravel()[order]) / regions
    last = np.append(scores[1:] != scores[:-1], True)
    fpr, pro = np.append(0, fpr[last]), np.append(0, pro[last])
    inside = fpr < LIMIT
    fpr_cut = np.append(fpr[inside], LIMIT)
    pro_cut = np.append(pro[inside], np.interp(LIMIT, fpr, pro))
    return float(np.trapezoid(pro_cut, fpr_cut) / LIMIT), None


def two_hundred_thresholds(maps: Array, masks: Array) -> Values:
    """AUPRO from 200 evenly spaced thresholds, rescaled by the largest rate kept: biased."""
    regions = []
    for number, mask in enumerate(masks):
        labels, count = ndimage.label(mask, np.ones((3, 3)))
        regions += [(number, *np.nonzero(labels == index + 1)) for index in range(count)]
    fpr, pro = [], []
    for threshold in np.linspace(maps.min(), maps.max(), 200):
        binary = maps > threshold
        fpr.append((binary & ~masks).sum() / (~masks).sum())
        pro.append(np.mean([binary[region].mean() for region in regions]))
    kept = np.array(fpr) < LIMIT
    x, y = np.array(fpr)[kept][::-1], np.array(pro)[kept][::-1]
    return float(np.trapezoid(y, x / x.max())), None


def anomalib_aupro(maps: Array, masks: Array) -> Values:
    """AUPRO of anomalib; scores outside 0..1 would pass a sigmoid, so the maps are scaled."""
    return _anomalib(maps, masks, auroc=False)


def anomalib_auroc(maps: Array, masks: Array) -> Values:
    """Pixel AUROC of anomalib."""
    return _anomalib(maps, masks, aupro=False)


def anomalib_both(maps: Array, masks: Array) -> Values:
    """Both in one process, as its evaluator computes them."""
    return _anomalib(maps, masks)


def _anomalib(maps: Array, masks: Array, aupro: bool = True, auroc: bool = True) -> Values:
    import torch
    from anomalib.metrics.aupro import _AUPRO
    from anomalib.metrics.auroc import _AUROC

    torch.set_num_threads(1)
    metrics = [_AUPRO(fpr_limit=LIMIT) if aupro else None, _AUROC() if auroc else None]
    for at in _batches(maps):
        scores, truth = torch.from_numpy(maps[at]), torch.from_numpy(masks[at].astype(np.int32))
        for metric in filter(None, metrics):
            metric.update(scores, truth)
    found = [float(metric.compute()) if metric else None for metric in metrics]
    return found[0], found[1]


def measure(method: Method, maps: Array, masks: Array) -> tuple[Values, float, float]:
    """Values, CPU seconds and extra peak memory in MB, in a process of its own."""
    receive, send = multiprocessing.get_context("fork").Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_report, args=(send, method, maps, masks))
    process.start()
    answer: tuple[Values, float, float] = receive.recv()
    process.join()
    return answer


def _report(send: Connection, method: Method, maps: Array, masks: Array) -> None:
    method(maps[:8], masks[:8])  # imports and first calls are not measured
    before, start = _peak(), time.process_time()
    values = method(maps, masks)
    send.send((values, time.process_time() - start, _peak() - before))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line a method: AUPRO, median CPU seconds, extra MB and ratios to ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--large", action="store_true", help="200 maps of 1024 x 1024")
    options = parser.parse_args()
    maps, masks = make_maps(200, 1024) if options.large else make_maps(options.images, 256)
    regions = sum(ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks)
    print(f"{maps.shape} maps, {regions} regions, {masks.mean():.2%} of the pixels defective")
    methods: list[Method] = [streamed, streamed_with_all]
    if not options.large:  # the others would need ten gigabytes
        methods += [full_sort, two_hundred_thresholds]
        if find_spec("anomalib"):
            methods += [anomalib_aupro, anomalib_auroc, anomalib_both]
    # Rounds, so that a change of the machine's load falls on every method.
    runs = [[measure(method, maps, masks) for method in methods] for _ in range(options.repeats)]
    ours: list[float] = []  # of the first method
    print(f"{'':24} {'AUPRO':>14} {'AUROC':>14} {'CPU s':>8} {'range':>13} {'ratio':>6}", end="")
    print(f" {'MB':>6} {'ratio':>6}")
    for method, results in zip(methods, zip(*runs, strict=True), strict=True):
        values, times, extra = zip(*results, strict=True)
        seconds, memory = statistics.median(times), statistics.median(extra)
        ours = ours or [seconds, memory]
        shown = " ".join(" " * 14 if v is None else f"{v:14.12f}" for v in values[0])
        print(
            f"{method.__name__:24} {shown} {seconds:8.2f} {min(times):6.2f}-{max(times):6.2f}"
            f" {seconds / ours[0]:6.1f} {memory:6.0f} {memory / ours[1]:6.1f}"
        )


if __name__ == "__main__":
    main()
