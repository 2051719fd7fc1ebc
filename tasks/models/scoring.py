"""Scores of images by a model, in batches, and the time per image."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tasks.images.read_image import read_image
from tasks.models.figures import Rows
from tasks.models.inspector import Inspection, Inspector

Report = Callable[..., None]
Inspected = tuple[Rows, list[np.ndarray], list[Inspection]]  # rows, images (H, W, C), inspections
T = TypeVar("T")
BATCH = 8  # images scored together; has no effect on scores
AHEAD = 1 << 29  # bytes of the largest batch that is decoded while another one is in use
TIMED = 20  # images for the latency
WARM_UP = 3  # images before them
SLOW = 1.1  # times the shortest of all: an image that takes longer may have been disturbed
LONGEST = 4_000.0  # milliseconds for all of them, after which none is timed again
READING = 2.0  # seconds, after which no further image is read for it: of 12 million pixels each one
# takes a while
FEWEST = 5  # images for the latency, however long it takes to read them


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in their order; the next one is made in a thread while one is used."""
    coming = iter(items)
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(next, coming, None)
        while (item := later.result()) is not None:
            later = pool.submit(next, coming, None)
            yield item


def image_batches(images: Path, rows: Rows) -> Iterator[tuple[Rows, list[np.ndarray]]]:
    """Rows with their decoded images, `BATCH` at a time."""
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        yield part, [read_image(images / row["path"]) for row in part]


def inspected(inspector: Inspector, images: Path, rows: Rows) -> Iterator[Inspected]:
    """Rows with their images and inspections, `BATCH` at a time. One thread decodes and one runs
    the model, ahead of the caller; not where so many images would not fit into memory."""
    batches = image_batches(images, rows)
    if (first := next(batches, None)) is None:
        return
    small = sum(image.nbytes for image in first[1]) <= AHEAD
    batches = chain([first], batches)
    found = (
        (part, batch, inspector.inspect_all(batch))
        for part, batch in (ahead(batches) if small else batches)
    )
    yield from ahead(found) if small else found


def score_images(inspector: Inspector, images: Path, rows: Rows, report: Report) -> Rows:
    """The scores of each image by every rule, as rows of calibration.csv."""
    found: Rows = []
    for part, _, batch in inspected(inspector, images, rows):
        found += [seen.row(row["path"]) for row, seen in zip(part, batch, strict=True)]
        report("calibration", len(found) / len(rows), images=len(part))
    return found


def measure_latency(inspector: Inspector, images: Path, paths: list[str]) -> dict[str, Any]:
    """Milliseconds from pixels in memory to score and map, one image at a time: median and 95th
    percentile over images, and the load of the machine.

    The quickest is timed again, and each that takes `SLOW` times as long, if time is left: other
    processes disturb the shorter time less. `latency_load` is the mean number of processes that
    wait for a core, for each core; None where the system does not tell.
    """
    loaded = _read_some([images / path for path in paths[:TIMED]])
    for image in loaded[:WARM_UP]:
        inspector.inspect(image)
    if not loaded:
        return {"ms_per_image": None, "ms_p95": None, "latency_load": None}
    taken = np.array([_milliseconds(inspector, image) for image in loaded], np.float64)
    if taken.sum() < LONGEST:
        quickest = taken.argmin()  # first: all may have been disturbed
        taken[quickest] = min(taken[quickest], _milliseconds(inspector, loaded[quickest]))
        for at in np.flatnonzero(taken > SLOW * taken.min()):
            taken[at] = min(taken[at], _milliseconds(inspector, loaded[at]))
    middle, high = np.percentile(taken, [50, 95])
    return {
        "ms_per_image": round(float(middle), 2),
        "ms_p95": round(float(high), 2),
        "latency_load": machine_load(),
    }


def _read_some(paths: list[Path]) -> list[np.ndarray]:
    """The images, or as many as can be read in `READING` seconds, `FEWEST` at least."""
    started = time.perf_counter()
    found: list[np.ndarray] = []
    for path in paths:
        if len(found) >= FEWEST and time.perf_counter() - started > READING:
            break
        found.append(read_image(path))
    return found


def _milliseconds(inspector: Inspector, image: np.ndarray) -> float:
    started = time.perf_counter()
    inspector.inspect(image)
    return 1000 * (time.perf_counter() - started)


def machine_load() -> float | None:
    """Load average of the last minute for each core; None where the system has none."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except (AttributeError, OSError):
        return None
