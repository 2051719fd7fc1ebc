"""Saturated PRO against brute force over all thresholds, and against AUPRO."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.errors import DataError
from tasks.metrics import PixelMetrics
from tasks.regions import label_regions
from tasks.spro import SaturatedPro, saturation_area
from tests.tasks.test_metrics import toy

Array = NDArray[Any]
Sample = tuple[Array, Array, list[int]]


def samples(seed: int, values: int) -> list[Sample]:
    """Maps with none to three defects each, which may overlap, and their saturations."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(5):
        masks = random.random((number % 4, 7, 6)) < 0.25
        masks[:, 0, 0] = True  # shared by all defects of the image
        saturations = [int(random.integers(1, mask.sum() + 1)) for mask in masks]
        maps = random.integers(0, values, (7, 6)) + 2 * masks.any(0)
        found.append((maps.astype(np.float32), masks, saturations))
    return found


def brute(cases: list[Sample], limit: float) -> float:
    """The definition: at each threshold the mean over defects of min(TP / saturation, 1)."""
    thresholds = sorted({value for maps, _, _ in cases for value in maps.ravel()}, reverse=True)
    fpr, spro = [0.0], [0.0]
    for threshold in thresholds:
        hits = [maps >= threshold for maps, _, _ in cases]
        false = sum((hit & ~case[1].any(0)).sum() for hit, case in zip(hits, cases, strict=True))
        fpr.append(false / sum((~masks.any(0)).sum() for _, masks, _ in cases))
        shares = [
            min((hit & mask).sum() / enough, 1)
            for hit, case in zip(hits, cases, strict=True)
            for mask, enough in zip(case[1], case[2], strict=True)
        ]
        spro.append(float(np.mean(shares)))
    area = 0.0
    for x0, x1, y0, y1 in zip(fpr, fpr[1:], spro, spro[1:], strict=False):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


@pytest.mark.parametrize("seed", range(12))
def test_equals_brute_force(seed: int) -> None:
    cases = samples(seed, values=2 + 3 * seed)
    with SaturatedPro(limits=(0.05, 0.3, 1), block=20) as metric:
        for case in cases:
            metric.update(*case)
        found = metric.compute()
    expected = {"spro_05": brute(cases, 0.05), "spro_30": brute(cases, 0.3)}
    assert found == pytest.approx({**expected, "spro_100": brute(cases, 1)}, abs=1e-12)


def test_saturation_at_the_whole_region_is_aupro() -> None:
    maps, masks = toy(0, values=40)
    plain, saturated = PixelMetrics(), SaturatedPro(limits=(0.3, 0.05))
    plain.update(maps, masks)
    for scores, mask in zip(maps, masks, strict=True):
        labels, count = label_regions(mask)
        regions = [labels == number for number in range(1, count + 1)]
        saturated.update(scores, np.array(regions), [int(region.sum()) for region in regions])
    expected, found = plain.compute(), saturated.compute()
    assert found["spro_30"] == pytest.approx(expected["aupro_30"], abs=1e-12)
    assert found["spro_05"] == pytest.approx(expected["aupro_05"], abs=1e-12)


def test_a_missing_part_is_found_by_a_part_of_its_area() -> None:
    mask = np.zeros((1, 10, 10), bool)
    mask[0, :4] = True
    scores = np.zeros((10, 10), np.float32)
    scores[0] = 1  # a quarter of the area
    metric = SaturatedPro()
    metric.update(scores, mask, [saturation_area(40, 0.25, relative=True)])
    assert metric.compute() == pytest.approx({"spro_05": 1}, abs=1e-12)


def test_saturation_areas() -> None:
    assert saturation_area(99, 0.5, relative=True) == 49
    assert saturation_area(99, 50, relative=False) == 50
    assert saturation_area(30, 50, relative=False) == 30
    assert saturation_area(3, 0.1, relative=True) == 1  # nothing found would be enough


def test_without_a_defect_or_background_there_is_no_value() -> None:
    good, bad = SaturatedPro(), SaturatedPro()
    good.update(np.zeros((3, 3)))
    assert good.compute() == {"spro_05": None}
    bad.update(np.zeros((3, 3)), np.ones((1, 3, 3)), [9])
    assert bad.compute() == {"spro_05": None}


@pytest.mark.parametrize(
    ("map", "saturations", "message"),
    [
        (np.zeros((3, 3)), [5], "saturation 5 of 4 pixels"),
        (np.zeros((3, 3)), [0], "give 1 pixel at least"),
        (np.zeros((3, 3)), [1, 1], r"\(1, 3, 3\) and 2 saturations"),
        (np.zeros((3, 4)), [1], r"map \(3, 4\)"),
        (np.full((3, 3), np.inf), [1], "9 infinite"),
    ],
)
def test_bad_input_changes_nothing(map: Array, saturations: list[int], message: str) -> None:
    mask = np.zeros((1, 3, 3))
    mask[0, :2, :2] = 1
    metric = SaturatedPro()
    with pytest.raises(DataError, match=message):
        metric.update(map, mask, saturations)
    assert metric.compute() == {"spro_05": None} and metric.images == 0
