"""Evaluate one cell: thresholds from images the fit never saw, then exact figures on the rest."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tasks import threshold as thresholds
from tasks.calibration import parted
from tasks.command import Listener, main
from tasks.device import choose
from tasks.display import Display
from tasks.exhibits import Exhibits, write_curves, write_scores
from tasks.figures import details, figures
from tasks.files import beside, read_rows, write_json
from tasks.imaging.images import read_image
from tasks.imaging.truth import at_resolution, mask_of
from tasks.inspector import Inspector
from tasks.metrics import PixelMetrics
from tasks.sections import Regions, Rule
from tasks.spec import Product, read_params, read_product
from tasks.workspace import CALIBRATION, CARD, Workspace

Rows = list[dict[str, str]]
Report = Callable[..., None]
BATCH = 8  # images scored together; changes no score
TIMED = 20  # images whose latency is taken, after three that warm up


@dataclass
class TestResult:
    """What a model gave on test images; lists run in the order of their rows."""

    rows: Rows
    scores: list[float] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)  # good, review or defect; empty: unknown
    pixels: dict[str, float | None] = field(default_factory=dict)
    pixel_intervals: dict[str, Any] = field(default_factory=dict)
    pixels_by_type: dict[str, dict[str, float | None]] = field(default_factory=dict)
    pro: tuple[np.ndarray, np.ndarray] = (np.zeros(0), np.zeros(0))


def evaluate(workspace: Workspace, product: str, algorithm: str, listener: Listener) -> Path:
    """Write `cells/<algorithm>/evaluation`: figures, scores, curves, threshold and pictures."""
    spec = read_product(workspace.root, product)
    model, images = workspace.model(product, algorithm), workspace.images(product)
    device = choose(read_params(workspace.root).line.device)
    inspector = Inspector.load(model, str(device))
    everything = read_rows(workspace.validation(product) / "test.csv")
    parts = parted(everything, spec.threshold.defect_share, spec.severity)
    aside = levels(inspector, images, parts.normals, listener.report)
    normals = aside or read_rows(model / CALIBRATION)
    defects = score(inspector, images, parts.defects, listener.report)
    decision = decide(spec, normals, defects)
    exhibits = Exhibits(inspector, decision, spec.evaluation.pictures)
    result = test(inspector, images, parts.test, spec, exhibits, listener.report)
    result.decisions = [
        thresholds.decide(value, decision["threshold"], decision["accept"])
        for value in result.scores
    ]
    card = json.loads((model / CARD).read_text())
    behind = details(result, spec)
    critical = behind["severity"]["classes"]["critical"]
    metrics = {
        "product": product,
        "algorithm": algorithm,
        **figures(result),
        "critical_missed": critical["missed"] if critical["n"] else None,
        "threshold": decision["threshold"],
        "accept": decision["accept"],
        "threshold_policy": decision["policy_used"],
        "calibration_images": len(normals),
        "calibration_defects": len(defects),
        "overkill_bound": decision["overkill_bound"],
        "overkill_upper": decision["overkill_upper"],
        **latency(inspector, images, [row["path"] for row in parts.test + normals]),
        "fit_seconds": card["fit_seconds"],
        "peak_memory_mb": card["peak_memory_mb"],
        "backbone_weights": card["backbone_weights"],
    }
    folder = workspace.evaluation(product, algorithm)
    with beside(folder) as partial:
        write_json(partial / "metrics.json", metrics)
        write_json(partial / "threshold.json", decision)
        write_json(partial / "details.json", behind)
        write_scores(partial / "scores.csv", result)
        write_curves(partial, result)
        exhibits.write(partial / "exhibits.zip")
    return folder


def batches(images: Path, rows: Rows) -> Iterator[tuple[Rows, list[np.ndarray]]]:
    """Rows with their decoded images, `BATCH` at a time."""
    for start in range(0, len(rows), BATCH):
        part = rows[start : start + BATCH]
        yield part, [read_image(images / row["path"]) for row in part]


def score(inspector: Inspector, images: Path, rows: Rows, report: Report) -> list[float]:
    """The score of each image."""
    return [float(row["score"]) for row in levels(inspector, images, rows, report)]


def levels(inspector: Inspector, images: Path, rows: Rows, report: Report) -> Rows:
    """Score and highest map value of each image, by path; repr keeps every digit."""
    found: Rows = []
    for part, batch in batches(images, rows):
        for row, seen in zip(part, inspector.inspect_all(batch), strict=True):
            peak = repr(float(seen.map.max()))
            found.append({"path": row["path"], "score": repr(seen.score), "peak": peak})
        report("calibration", len(found) / len(rows), images=len(part))
    return found


def decide(spec: Product, normals: Rows, defects: list[float]) -> dict[str, Any]:
    """What turns a score into a decision, and a map into a picture."""
    good = np.array([float(row["score"]) for row in normals])
    limits = thresholds.choose_limits(spec.threshold, good, defects)
    peaks = np.array([float(row["peak"]) for row in normals])
    pixel = pixel_threshold(spec.regions, peaks)
    return {
        **limits.record(),
        "pixel_threshold": pixel,
        "map_top": 2 * abs(pixel) if pixel else 1.0,  # where a heat map's colours end
        "display_span": span_of(limits.reject.value, good),
        "region_min_area": spec.regions.min_area,
        "region_opening": spec.regions.opening,
    }


def span_of(threshold: float | None, good: np.ndarray) -> float | None:
    """How far below the threshold the displayed score is 0."""
    return None if threshold is None else Display.of(threshold, good).span


def pixel_threshold(regions: Regions, peaks: np.ndarray) -> float | None:
    """Map value above which a pixel counts as defective, from the highest values (n,) in the maps
    of good images."""
    if regions.value is not None:
        return regions.value
    return thresholds.choose(Rule(overkill=regions.overkill), peaks).value


def test(
    inspector: Inspector,
    images: Path,
    rows: Rows,
    spec: Product,
    exhibits: Exhibits,
    report: Report,
) -> TestResult:
    """Score test images; pixel figures where there are masks, in one streaming pass."""
    result = TestResult(rows)
    native = spec.evaluation.resolution == "native"
    masks = any(row["mask"] for row in rows)
    with PixelMetrics(intervals=spec.evaluation.resamples) as metrics:
        for part, batch in batches(images, rows):
            for row, image, found in zip(part, batch, inspector.inspect_all(batch), strict=True):
                result.scores.append(found.score)
                mask = mask_of(inspector.preprocess, images, row, image)
                exhibits.add(len(result.scores) - 1, row["label"], image, *found[:2], mask)
                if masks and mask is not None:
                    at = found.map if native else found.model_map
                    metrics.update(at, at_resolution(mask, at.shape), row["label"])
            report("test", len(result.scores) / len(rows))
        if masks:
            result.pixels = metrics.compute()
            result.pixels_by_type = metrics.by_type()
            result.pixel_intervals = metrics.intervals() if spec.evaluation.resamples else {}
            result.pro = metrics.pro_curve()
    return result


def latency(inspector: Inspector, images: Path, paths: list[str]) -> dict[str, float | None]:
    """Median and 95th percentile of milliseconds from pixels in memory to score and map, one
    image at a time."""
    loaded = [read_image(images / path) for path in paths[:TIMED]]
    times = []
    for image in loaded[:3] + loaded:
        started = time.perf_counter()
        inspector.inspect(image)
        times.append(1000 * (time.perf_counter() - started))
    taken = times[min(3, len(loaded)) :]
    if not taken:
        return {"ms_per_image": None, "ms_p95": None}
    middle, high = np.percentile(taken, [50, 95])
    return {"ms_per_image": round(float(middle), 2), "ms_p95": round(float(high), 2)}


if __name__ == "__main__":
    main(evaluate)
