"""Pixel and image metrics against brute force over all thresholds and against scikit-learn."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn import metrics as sklearn_metrics

from tasks.metrics import spill
from tasks.metrics.image import image_metrics, roc_curve
from tasks.metrics.pixel import PixelMetrics
from tasks.workspace.errors import DataError

Array = NDArray[Any]
Pair = tuple[Array, Array]
NAMES = {"pixel_auroc", "aupro_30", "aupro_05", "pixel_ap", "pixel_f1_max"}


def toy(seed: int, values: int = 7, shape: tuple[int, int, int] = (5, 8, 8)) -> Pair:
    """Integer-valued maps with heavy ties, and random masks; the last image is good."""
    random = np.random.default_rng(seed)
    masks = random.random(shape) < 0.2
    masks[-1] = False
    maps = random.integers(0, values, shape) + masks * random.integers(0, 3, shape)
    return maps.astype(np.float32), masks


def measured(pairs: Iterable[Pair], **options: Any) -> dict[str, float | None]:
    metrics = PixelMetrics(**options)
    for maps, masks in pairs:
        metrics.update(maps, masks)
    return metrics.compute()


def flood(mask: Array) -> list[set[tuple[int, int]]]:
    """The 8-connected regions, found by walking from pixel to pixel."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    regions = []
    while left:
        region, queue = set(), [left.pop()]
        while queue:
            row, column = queue.pop()
            region.add((row, column))
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            queue += near
        regions.append(region)
    return regions


def brute_curve(maps: Array, masks: Array) -> tuple[list[float], list[float]]:
    """The PRO curve by its definition, one threshold after the other; NaN is outside the images."""
    regions = [(n, region) for n, mask in enumerate(masks) for region in flood(mask)]
    background = maps[~masks & ~np.isnan(maps)]
    fpr, pro = [0.0], [0.0]
    for threshold in sorted(set(maps[~np.isnan(maps)].tolist()), reverse=True):
        fpr.append(float((background >= threshold).mean()))
        shares = [np.mean([maps[n][pixel] >= threshold for pixel in r]) for n, r in regions]
        pro.append(float(np.mean(shares)))
    return fpr, pro


def brute_aupro(maps: Array, masks: Array, limit: float) -> float:
    fpr, pro = brute_curve(maps, masks)
    area = 0.0
    for x0, x1, y0, y1 in zip(fpr, fpr[1:], pro, pro[1:], strict=False):
        if x0 < limit and x1 > x0:
            end = min(x1, limit)
            area += (end - x0) * (y0 + (y0 + (y1 - y0) * (end - x0) / (x1 - x0))) / 2
    return area / limit


def brute_f1(maps: Array, masks: Array) -> float:
    best = 0.0
    for threshold in set(maps.ravel().tolist()):
        hit = maps >= threshold
        best = max(best, 2 * (hit & masks).sum() / (hit.sum() + masks.sum()))
    return best


@pytest.mark.parametrize("seed", range(25))
def test_values_equal_brute_force_and_scikit_learn(seed: int) -> None:
    maps, masks = toy(seed, values=2 + seed)
    found = measured([(maps, masks)], limits=(0.3, 0.05, 1))
    truth, scores = masks.ravel(), maps.ravel()
    expected = {
        "pixel_auroc": sklearn_metrics.roc_auc_score(truth, scores),
        "aupro_30": brute_aupro(maps, masks, 0.3),
        "aupro_05": brute_aupro(maps, masks, 0.05),
        "aupro_100": brute_aupro(maps, masks, 1),
        "pixel_ap": sklearn_metrics.average_precision_score(truth, scores),
        "pixel_f1_max": brute_f1(maps, masks),
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_perfect_constant_and_negated_maps() -> None:
    maps, masks = toy(1, values=1000)
    assert measured([(masks.astype(np.float32), masks)]) == pytest.approx(dict.fromkeys(NAMES, 1))
    constant = measured([(np.full_like(maps, 3.5), masks)])
    assert constant["pixel_auroc"] == pytest.approx(0.5)
    assert constant["aupro_30"] == pytest.approx(0.15)
    assert constant["aupro_05"] == pytest.approx(0.025)
    there, back = measured([(maps, masks)]), measured([(-maps, masks)])
    assert there["pixel_auroc"] == pytest.approx(1 - (back["pixel_auroc"] or 0), abs=1e-12)


def test_monotone_transform_changes_nothing() -> None:
    maps, masks = toy(2, values=30)
    plain = measured([(maps, masks)])
    assert measured([(np.exp(maps.astype(float)), masks)]) == plain
    assert measured([(maps / 1024 - 7, masks)]) == plain


def test_batches_and_order_change_nothing() -> None:
    maps, masks = toy(3, shape=(9, 8, 8))
    whole = measured([(maps, masks)])
    assert measured(zip(maps, masks, strict=True)) == pytest.approx(whole, abs=1e-13)
    assert measured([(maps[::-1], masks[::-1])]) == pytest.approx(whole, abs=1e-13)
    assert measured([(maps[4:], masks[4:]), (maps[:4], masks[:4])]) == pytest.approx(whole)


@pytest.mark.parametrize("block", [1, 7, 64, 300])
def test_spilled_blocks_give_the_same_bits(block: int) -> None:
    maps, masks = toy(4, values=50)
    assert measured([(maps, masks)], block=block) == measured([(maps, masks)])


def test_spill_removes_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    maps, masks = toy(5)
    with PixelMetrics(block=10) as metrics:
        metrics.update(maps, masks)
        file = metrics.background.file
        assert file is not None and not file.closed
    assert file.closed and not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="closed before compute"):
        metrics.compute()
    abandoned = PixelMetrics(block=10)
    abandoned.update(maps, masks)
    file = abandoned.background.file
    del abandoned
    assert file is not None and file.closed


@pytest.mark.parametrize("resamples", [0, 50])
def test_good_images_that_follow_need_no_disk(
    resamples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps, masks = toy(6, values=50, shape=(9, 8, 8))
    masks[3:] = False
    whole = PixelMetrics(block=100, intervals=resamples)
    whole.update(maps, masks, ["defect"] * 3 + ["good"] * 6)
    metrics = PixelMetrics(block=100, intervals=resamples)
    metrics.update(maps[:3], masks[:3], ["defect"] * 3)
    metrics.only_good_follow()
    monkeypatch.setattr(spill, "TemporaryFile", None)  # calling it would fail
    for map, mask in zip(maps[3:], masks[3:], strict=True):
        metrics.update(map, mask, "good")
    assert metrics.compute() == whole.compute()
    assert metrics.by_type() == whole.by_type()
    if resamples:
        assert metrics.intervals() == whole.intervals()


def test_resamples_are_those_of_the_rows_in_whatever_order_they_come() -> None:
    maps, masks = toy(8, values=50, shape=(12, 8, 8))
    masks[[1, 4, 5, 9]] = False  # 4 and 9 have an empty mask, and so come with the defects
    order = [0, 2, 3, 4, 6, 7, 8, 9, 10, 11, 1, 5]
    plain, moved = PixelMetrics(intervals=60), PixelMetrics(intervals=60)
    plain.update(maps, masks)
    for place, at in enumerate(order):
        if place == 10:
            moved.only_good_follow()
        moved.update(maps[at], masks[at], row=at)
    assert moved.compute() == pytest.approx(plain.compute(), abs=1e-13)
    found, expected = moved.intervals(), plain.intervals()
    for name, one in expected.items():
        assert tuple(found[name]) == pytest.approx(tuple(one), abs=1e-12)


def test_what_was_counted_in_part_gives_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = PixelMetrics(block=20)
    metrics.update(*toy(9))
    given = metrics.background._give

    def interrupted(*arguments: Any) -> None:
        given(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(metrics.background, "_give", interrupted)
    with pytest.raises(KeyboardInterrupt):
        metrics.only_good_follow()
    with pytest.raises(RuntimeError, match="closed before compute"):
        metrics.compute()


def test_a_defect_that_was_not_to_follow_changes_nothing() -> None:
    maps, masks = toy(7)
    metrics = PixelMetrics()
    metrics.update(maps, masks)
    metrics.only_good_follow()
    with pytest.raises(RuntimeError, match="only good images were to follow"):
        metrics.update(maps, masks)
    assert metrics.compute() == measured([(maps, masks)])


def test_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spill, "TemporaryFile", full)
    with pytest.raises(DataError, match=r"No space left on device.*TMPDIR"):
        PixelMetrics(block=4).update(*toy(0))


def test_diagonal_pixels_are_one_region() -> None:
    mask = np.zeros((6, 6), bool)
    mask[1, 1] = mask[2, 2] = mask[4, 4] = True
    metrics = PixelMetrics()
    metrics.update(np.zeros((6, 6)), mask)
    assert len(metrics.found) == 2


@pytest.mark.parametrize(("low", "high"), [(25, 30), (60, 70)])
def test_large_raw_scores_are_not_squashed(low: float, high: float) -> None:
    random = np.random.default_rng(0)
    masks = random.random((6, 16, 16)) < 0.1
    maps = (np.where(masks, high, low) + random.normal(0, 3, masks.shape)).astype(np.float32)
    found = measured(zip(maps, masks, strict=True))["pixel_auroc"]
    assert found == pytest.approx(sklearn_metrics.roc_auc_score(masks.ravel(), maps.ravel()))
    labels = masks[0, 0]
    expected = sklearn_metrics.roc_auc_score(labels, maps[0, 0])
    assert image_metrics(maps[0, 0], labels)["image_auroc"] == pytest.approx(expected)


def test_float64_differences_below_float32_count() -> None:
    maps = 1 + np.arange(16.0).reshape(4, 4) * 1e-12
    mask = np.arange(16).reshape(4, 4) == 15
    assert measured([(maps, mask)])["pixel_auroc"] == 1
    mixed = [(maps.astype(np.float32), mask), (maps, mask), (maps.astype(np.float32), mask)]
    assert measured(mixed, block=5) == measured([(np.float64(m), t) for m, t in mixed])


@pytest.mark.parametrize("mask", [0, 1])
def test_missing_class_gives_none(mask: int) -> None:
    maps = np.random.default_rng(0).random((2, 4, 4))
    metrics = PixelMetrics()
    metrics.update(maps, np.full(maps.shape, mask))
    assert metrics.compute() == dict.fromkeys(NAMES)
    assert [part.size for part in metrics.pro_curve()] == [0, 0]
    assert PixelMetrics().compute() == dict.fromkeys(NAMES)
    assert set(image_metrics([0.1, 0.4], [mask, mask]).values()) == {None}
    assert [part.size for part in roc_curve([0.1, 0.4], [mask, mask])] == [0, 0, 0]


def test_images_of_different_sizes_are_pooled() -> None:
    large, small = toy(6), toy(7, shape=(3, 5, 6))
    found = measured([large, small])
    scores = np.concatenate([large[0].ravel(), small[0].ravel()])
    truth = np.concatenate([large[1].ravel(), small[1].ravel()])
    assert found["pixel_auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores))
    # the same pixels laid out on one canvas
    maps, masks = np.full((8, 8, 8), np.nan), np.zeros((8, 8, 8), bool)
    maps[:5], masks[:5] = large
    maps[5:, :5, :6], masks[5:, :5, :6] = small
    assert found["aupro_30"] == pytest.approx(brute_aupro(maps, masks, 0.3), abs=1e-12)


def test_pro_curve_is_the_curve_up_to_the_limit() -> None:
    maps, masks = toy(8, values=20)
    metrics = PixelMetrics()
    metrics.update(maps, masks)
    fpr, pro = metrics.pro_curve(limit=0.3)
    assert np.trapezoid(pro, fpr) / 0.3 == pytest.approx(brute_aupro(maps, masks, 0.3))
    assert (fpr[0], pro[0], fpr[-1]) == (0, 0, 0.3)
    whole = metrics.pro_curve(limit=1)
    assert (whole[0][-1], whole[1][-1]) == (1, pytest.approx(1))


def test_pro_curve_is_thinned_for_plots() -> None:
    random = np.random.default_rng(9)
    masks = random.random((4, 64, 64)) < 0.3
    maps = (random.standard_normal(masks.shape) + masks).astype(np.float32)
    metrics = PixelMetrics()
    metrics.update(maps, masks)
    fpr, pro = metrics.pro_curve()
    assert 400 < fpr.size <= 500 and fpr[0] == 0 and fpr[-1] == 0.3
    assert (np.diff(fpr) >= 0).all() and (np.diff(pro) >= 0).all()
    assert np.trapezoid(pro, fpr) / 0.3 == pytest.approx(metrics.compute()["aupro_30"], abs=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_image_metrics_equal_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.random(40) < 0.4
    scores = random.integers(0, 12, 40) + 4 * labels + 50
    found = image_metrics(scores, labels)
    assert found["image_auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))
    expected = sklearn_metrics.average_precision_score(labels, scores)
    assert found["image_ap"] == pytest.approx(expected)
    best = max(sklearn_metrics.f1_score(labels, scores >= limit) for limit in set(scores))
    assert found["image_f1_max"] == pytest.approx(best)
    fpr, tpr, thresholds = roc_curve(scores, labels)
    theirs = sklearn_metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose([fpr, tpr], theirs[:2], atol=1e-12)
    np.testing.assert_array_equal(thresholds[1:], theirs[2][1:])
    assert np.isfinite(thresholds).all() and thresholds[0] > scores.max()


def test_tensors_are_taken() -> None:
    torch = pytest.importorskip("torch")
    maps, masks = toy(10)
    expected = measured([(maps, masks)])
    tensor, truth = torch.from_numpy(maps).requires_grad_(), torch.from_numpy(masks)
    assert measured([(tensor, truth)]) == expected
    assert measured([(tensor.bfloat16(), truth.float())]) == expected  # small integers are exact


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.full((2, 3, 3), np.nan), np.zeros((2, 3, 3)), "map 5, counted from 0, holds 9 NaN"),
        (np.array([[1, np.inf]]), np.zeros((1, 2)), "0 NaN and 1 infinite"),
        (np.zeros((2, 3, 3)), np.zeros((2, 3, 4)), r"\(2, 3, 3\) and masks \(2, 3, 4\)"),
        (np.zeros((1, 2, 3, 3)), np.zeros((1, 2, 3, 3)), r"\(B, 1, H, W\) or \(H, W\)"),
        (np.zeros((3, 3)), np.full((3, 3), 255), "masks hold 255.*binarise"),
    ],
)
def test_bad_input_changes_nothing(maps: Array, masks: Array, message: str) -> None:
    metrics = PixelMetrics()
    metrics.update(*toy(11))
    with pytest.raises(DataError, match=message):
        metrics.update(maps, masks)
    assert metrics.compute() == measured([toy(11)])


def test_bad_scores_limits_and_late_updates() -> None:
    with pytest.raises(DataError, match="score 1 is nan"):
        image_metrics([0.1, float("nan")], [0, 1])
    with pytest.raises(DataError, match="one of each an image"):
        roc_curve([0.1, 0.2], [0, 1, 1])
    with pytest.raises(ValueError, match="at most 1"):
        PixelMetrics(limits=(30,))
    metrics = PixelMetrics()
    metrics.compute()
    with pytest.raises(RuntimeError, match="start a new PixelMetrics"):
        metrics.update(*toy(0))


def test_maps_and_masks_may_have_a_channel() -> None:
    maps, masks = toy(0)
    assert measured([(maps[:, None], masks[:, None])]) == measured([(maps, masks)])
