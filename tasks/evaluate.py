"""Evaluate one cell: thresholds from images the fit never saw, then exact figures on the rest."""

import json
from pathlib import Path

import numpy as np

from tasks.decisions.calibration import split_rows
from tasks.decisions.cross_fit import cross_fitted
from tasks.decisions.display import Display
from tasks.decisions.edge import edge
from tasks.decisions.score_rule import ByRule, by_rule, choose_rule
from tasks.decisions.severity import is_counted
from tasks.decisions.threshold import choose_limits, choose_threshold, classify_score
from tasks.documents.metrics import METRICS, Metrics
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.images.masks import image_mask, resize_mask
from tasks.images.read_image import read_image
from tasks.metrics.arrays import scores_by_label
from tasks.metrics.pixel import PixelMetrics
from tasks.models.device import choose_device
from tasks.models.edge_maps import read_edge_maps
from tasks.models.figures import Rows, TestResult, details, figures, labels
from tasks.models.inspector import Inspector
from tasks.models.presets import pixels
from tasks.models.result_pictures import ResultPictures, write_curves, write_scores
from tasks.models.scoring import (
    Report,
    inspected,
    measure_latency,
    score_images,
)
from tasks.spec.read import read_params
from tasks.spec.recipe import EvaluateRecipe, read_evaluate
from tasks.spec.schema import Regions, Rule
from tasks.workspace.files import folder_beside, read_rows, write_json
from tasks.workspace.listener import Listener, main
from tasks.workspace.paths import CALIBRATION, CARD, EDGE_MAPS, Workspace


def evaluate(workspace: Workspace, product: str, algorithm: str, listener: Listener) -> Path:
    """Write `cells/<algorithm>/evaluation`: figures, scores, curves, threshold and pictures."""
    spec = read_evaluate(workspace.product_recipe(product))
    model, images = workspace.model(product, algorithm), workspace.images(product)
    device = choose_device(read_params(workspace.root).line.device)
    inspector = Inspector.load(model, str(device))
    everything = read_rows(workspace.validation(product) / "test.csv")
    parts = split_rows(everything, spec.threshold.defect_share, spec.severity)
    aside = score_images(inspector, images, parts.normals, listener.report)
    normals = aside or read_rows(model / CALIBRATION)
    good = by_rule(normals)
    peaks = np.array([float(row["peak"]) for row in normals])
    defects = by_rule(score_images(inspector, images, parts.defects, listener.report))
    # only which pictures stay depends on this threshold
    first = choose_thresholds(spec, good, peaks, defects)
    pictures = ResultPictures(inspector, first, spec.evaluation.pictures)
    result = test(inspector, images, parts.test, spec, pictures, listener.report)
    aside_only = defects["model"] or not spec.threshold.learns_from_defects
    known = [] if aside_only else countable(result, spec)
    if known:
        defects = result.scores_of(known)
    decision = choose_thresholds(spec, good, peaks, defects, cross_fitted=bool(known))
    rule = decision.score_rule
    result.scores = result.by_rule[rule]
    result.decisions = judge(result, spec, good, known, decision)
    card = json.loads((model / CARD).read_text())
    behind = details(result, spec)
    tested = scores_by_label(result.scores, labels(result))
    behind["calibration"] = {"good": good[rule], "defects": defects[rule]}
    names = [row["path"] for row in normals]
    behind["edge"] = edge(spec.threshold, names, good[rule], defects[rule], tested[::-1])
    maps = read_edge_maps(model / EDGE_MAPS)
    for one in behind["edge"]["images"]:
        pictures.add_edge(read_image(images / one["path"]), maps.get(one["path"]))
    critical = behind["severity"]["classes"]["critical"]
    metrics = Metrics(
        product=product,
        algorithm=algorithm,
        **figures(result, spec.threshold.cost),
        critical_missed=critical["missed"] if critical["n"] else None,
        threshold=decision.threshold,
        accept=decision.accept,
        threshold_policy=decision.policy_used,
        calibration_images=len(normals),
        calibration_defects=len(defects[rule]),
        overkill_bound=decision.overkill_bound,
        overkill_upper=decision.overkill_upper,
        **measure_latency(inspector, images, [row["path"] for row in parts.test + normals]),
        fit_seconds=card["fit_seconds"],
        peak_memory_mb=card["peak_memory_mb"],
        preset=card.get("preset"),  # cards of version 0.1 say none of these
        image_size=pixels(inspector.preprocess.spec),
        batch_size=card.get("training", {}).get("batch_size"),
        steps=sum(card.get("steps", {}).values()) or None,
        backbone=card["parameters"].get("backbone"),
        backbone_weights=card["backbone_weights"],
    )
    folder = workspace.evaluation(product, algorithm)
    with folder_beside(folder) as partial:
        metrics.write(partial / METRICS)
        decision.write(partial / THRESHOLD)
        write_json(partial / "details.json", behind)
        write_scores(partial / "scores.csv", result)
        write_curves(partial, result)
        pictures.write(partial / "exhibits.zip")
    return folder


def countable(result: TestResult, spec: EvaluateRecipe) -> list[int]:
    """Indices of the test defects that may set the threshold."""
    if spec.threshold.calibration_defects is not None:
        return []
    bad = labels(result)
    return [at for at, row in enumerate(result.rows) if bad[at] and is_counted(row, spec.severity)]


def judge(
    result: TestResult, spec: EvaluateRecipe, good: ByRule, known: list[int], decision: Thresholds
) -> list[str]:
    """The decision on each test image; of the `known` ones by limits that did not see them."""
    decisions = [
        classify_score(value, decision.threshold, decision.accept) for value in result.scores
    ]
    contents = [result.rows[i]["sha256"] for i in known]
    found = cross_fitted(spec.threshold, good, result.scores_of(known), contents)
    for at, (rule, limits) in zip(known, found, strict=True):
        decisions[at] = limits.classify(result.by_rule[rule][at])
    return decisions


def choose_thresholds(
    spec: EvaluateRecipe,
    normals: ByRule,
    peaks: np.ndarray,
    defects: ByRule,
    cross_fitted: bool = False,
) -> Thresholds:
    """What turns a score into a decision, and a map into a picture.

    peaks: the highest values (n,) in the maps of the good images.
    """
    rule = choose_rule(spec.threshold, normals, defects)
    good = np.array(normals[rule])
    limits = choose_limits(spec.threshold, good, defects[rule])
    pixel = pixel_threshold(spec.regions, peaks)
    return Thresholds(
        **limits.record(),
        score_rule=rule,
        cross_fitted=cross_fitted,
        pixel_threshold=pixel,
        map_top=2 * abs(pixel) if pixel else 1.0,
        display_span=span_of(limits.reject.value, good),
        region_min_area=spec.regions.min_area,
        region_opening=spec.regions.opening,
    )


def span_of(threshold: float | None, good: np.ndarray) -> float | None:
    """How far below the threshold the displayed score is 0."""
    return None if threshold is None else Display.of(threshold, good).span


def pixel_threshold(regions: Regions, peaks: np.ndarray) -> float | None:
    """Map value above which a pixel counts as defective, from the highest values (n,) in the maps
    of good images."""
    if regions.value is not None:
        return regions.value
    return choose_threshold(Rule(policy="normal_quantile", overkill=regions.overkill), peaks).value


def test(
    inspector: Inspector,
    images: Path,
    rows: Rows,
    spec: EvaluateRecipe,
    pictures: ResultPictures,
    report: Report,
) -> TestResult:
    """Score test images; pixel figures where there are masks, in one streaming pass: those with a
    mask come first, for then the pixels of the others are counted as they come."""
    result = TestResult(rows)
    native = spec.evaluation.resolution == "native"
    order = sorted(range(len(rows)), key=lambda at: not rows[at]["mask"])
    masked = sum(bool(row["mask"]) for row in rows)
    with PixelMetrics(intervals=spec.evaluation.resamples) as metrics:
        for part, batch, seen in inspected(inspector, images, [rows[at] for at in order]):
            for row, image, found in zip(part, batch, seen, strict=True):
                scores = result.add(found)
                mask = image_mask(inspector.preprocess, images, row, image)
                score = scores[pictures.decision.score_rule]
                at = order[result.count - 1]
                pictures.add(at, row["label"], image, score, found.map, mask)
                if masked and mask is not None:
                    map = found.map if native else found.model_map
                    metrics.update(map, resize_mask(mask, map.shape), row["label"], at)
                if result.count == masked:
                    metrics.only_good_follow()
            report("test", result.count / len(rows))
        result.put_in_order(order)
        if masked:
            result.pixels = metrics.compute()
            result.pixels_by_type = metrics.by_type()
            result.pixel_intervals = metrics.intervals() if spec.evaluation.resamples else {}
            result.pro = metrics.pro_curve()
    return result


if __name__ == "__main__":
    main(evaluate)
