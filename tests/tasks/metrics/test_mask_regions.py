"""Figures of each defect type and region against brute force on the maps of these alone."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from tasks.metrics.image import image_metrics_by_type
from tasks.metrics.pixel import PixelMetrics
from tasks.workspace.errors import DataError
from tests.tasks.metrics.test_pixel import brute_aupro, brute_f1, flood, toy

TYPES = ["scratch", "dent", "scratch", "dent", "good"]


def typed(seed: int, **options: Any) -> tuple[PixelMetrics, Any, Any]:
    maps, masks = toy(seed, values=30)
    metrics = PixelMetrics(limits=(0.3, 0.001), **options)
    metrics.update(maps[:2], masks[:2], TYPES[:2])
    metrics.update(maps[2], masks[2], TYPES[2])
    metrics.update(maps[3:], masks[3:], TYPES[3:])
    return metrics, maps, masks


@pytest.mark.parametrize("seed", range(6))
def test_a_type_is_its_regions_against_the_whole_background(seed: int) -> None:
    metrics, maps, masks = typed(seed)
    found = metrics.by_type()
    assert list(found) == ["dent", "scratch"]
    for kind, values in found.items():
        # other types' defects are outside the images, the background of all images stays
        other = masks & (np.array(TYPES) != kind)[:, None, None]
        scores, truth = maps[~other], masks[~other]
        expected = {
            "pixel_auroc": sklearn_metrics.roc_auc_score(truth, scores),
            "aupro_30": brute_aupro(np.where(other, np.nan, maps), masks & ~other, 0.3),
            "aupro_0.1": brute_aupro(np.where(other, np.nan, maps), masks & ~other, 0.001),
            "pixel_ap": sklearn_metrics.average_precision_score(truth, scores),
            "pixel_f1_max": brute_f1(scores, truth),
        }
        assert values == pytest.approx(expected, abs=1e-12)


def test_regions_are_the_records_of_the_masks() -> None:
    metrics, maps, masks = typed(1, block=17)
    records = metrics.found
    expected = {
        (image, min(row for row, _ in region), min(column for _, column in region)): region
        for image, mask in enumerate(masks)
        for region in flood(mask)
    }
    assert len(records) == sum(len(flood(mask)) for mask in masks)
    for record in records:
        top, left, bottom, right = record.box
        region = expected[record.image, top, left]
        assert record.type == TYPES[record.image]
        assert record.pixels == len(region)
        assert bottom == 1 + max(row for row, _ in region)
        assert right == 1 + max(column for _, column in region)
        assert record.peak == max(maps[record.image][pixel] for pixel in region)
    numbers = [record.number for record in records if record.image == 0]
    assert numbers == list(range(1, len(numbers) + 1))


def test_images_without_a_type_are_in_none() -> None:
    maps, masks = toy(2)
    with PixelMetrics() as metrics:
        metrics.update(maps, masks)
        assert metrics.by_type() == {}
        assert {record.type for record in metrics.found} == {None}


def test_without_background_there_is_no_aupro() -> None:
    metrics = PixelMetrics(intervals=10)
    metrics.update(np.ones((2, 3, 3)), np.ones((2, 3, 3)), ["dent", "dent"])
    assert metrics.compute()["aupro_30"] is None
    assert set(metrics.by_type()["dent"].values()) == {None}
    assert set(metrics.intervals().values()) == {None}


def test_each_map_needs_a_label() -> None:
    maps, masks = toy(3)
    with pytest.raises(DataError, match="2 labels for 5 maps"):
        PixelMetrics().update(maps, masks, ["dent", "good"])


def test_image_figures_of_a_type_leave_the_other_types_out() -> None:
    random = np.random.default_rng(0)
    labels = random.choice(["good", "dent", "scratch"], 60)
    scores = random.integers(0, 9, 60) + 2 * (labels != "good")
    found = image_metrics_by_type(scores, list(labels))
    assert list(found) == ["dent", "scratch"]
    for kind in found:
        mine = (labels == kind) | (labels == "good")
        expected = sklearn_metrics.roc_auc_score(labels[mine] == kind, scores[mine])
        assert found[kind]["image_auroc"] == pytest.approx(expected, abs=1e-12)
    lone = image_metrics_by_type([0.1, 0.2], ["dent", "dent"])
    assert set(lone["dent"].values()) == {None}
    assert image_metrics_by_type([], []) == {}
    with pytest.raises(DataError, match="score 0 is nan"):
        image_metrics_by_type([float("nan"), 1], ["dent", "good"])
