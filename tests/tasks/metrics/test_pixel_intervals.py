"""Intervals of pixel figures against metrics of the resampled maps themselves."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.metrics import pixel_intervals
from tasks.metrics.intervals import draw_resamples, percentiles
from tasks.metrics.pixel import PixelMetrics
from tests.tasks.metrics.test_pixel import measured, toy

Array = NDArray[Any]


def factory(images: int, size: int, seed: int) -> tuple[Array, Array]:
    """Maps whose defects differ in how well they show; two of five images are defective."""
    random = np.random.default_rng(seed)
    masks = np.zeros((images, size, size), bool)
    strength = random.exponential(1.5, images)
    for number in range(0, 2 * images // 5):
        top, left = random.integers(0, size // 2, 2)
        masks[number, top : top + size // 3, left : left + size // 4] = True
        masks[number, -2:, -2:] = number % 2
    level = random.normal(0, 0.3, (images, 1, 1))
    maps = random.standard_normal(masks.shape) + level + strength[:, None, None] * masks
    return maps.astype(np.float32), masks


def brute(maps: Array, masks: Array, count: int, seed: int) -> dict[str, tuple[float, float]]:
    """Intervals from exact figures of the maps of each resample, one after the other."""
    bad = masks.any((1, 2))
    drawn = np.concatenate(
        list(draw_resamples((np.flatnonzero(~bad), np.flatnonzero(bad)), count, seed))
    )
    found = [measured([(maps[at], masks[at])]) for at in map(repeated, drawn)]
    return {name: percentiles(np.array([one[name] for one in found]), 0.95) for name in found[0]}


def repeated(times: Array) -> Array:
    return np.repeat(np.arange(times.size), times.astype(int))


def test_few_distinct_scores_give_exact_intervals_ties_included() -> None:
    maps, masks = toy(0, values=9, shape=(9, 8, 8))
    masks[5:] = False
    metrics = PixelMetrics(intervals=130, seed=3, block=100)  # more than one chunk and block
    metrics.update(maps, masks)
    for name, interval in brute(maps, masks, 130, 3).items():
        assert metrics.intervals()[name] == pytest.approx((*interval, 0), abs=1e-12), name


def test_thinned_intervals_are_off_by_less_than_they_say() -> None:
    maps, masks = factory(20, 48, 1)
    assert np.unique(maps[masks]).size > 1000
    metrics = PixelMetrics(intervals=60, seed=1, block=20_000)
    metrics.update(maps, masks)
    for name, interval in brute(maps, masks, 60, 1).items():
        low, high, error = metrics.intervals()[name] or (0, 0, 0)
        off = max(abs(low - interval[0]), abs(high - interval[1]))
        assert 0 < off <= error, name
        assert error < (0.02 if name in ("pixel_ap", "pixel_f1_max") else 0.003), name
        assert off < 1e-3, name


def test_fewer_bins_say_a_larger_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def error(half: int) -> float:
        monkeypatch.setattr(pixel_intervals, "HALF", half)
        metrics = PixelMetrics(intervals=20)
        metrics.update(*factory(20, 48, 2))
        found = metrics.intervals()["aupro_30"]
        return found.error if found else 0

    assert error(20) > 5 * error(500) > 0
    assert error(100_000) == 0


def test_bins_share_both_masses_out() -> None:
    random = np.random.default_rng(0)
    first, second = random.exponential(1, 20_000) ** 3, random.exponential(1, 20_000)
    first[700] = first.sum() / 10  # a tie of many pixels has a bin of its own
    found = pixel_intervals.score_bins(first, second)
    assert found[0] == 0 and set(np.diff(found)) == {0, 1} and found[-1] < 1000
    assert (found == found[700]).sum() == 1
    for mass in first, second:
        shares = np.bincount(found, mass / mass.sum())
        assert shares[np.bincount(found) > 1].max() < 2 / 500
    np.testing.assert_array_equal(pixel_intervals.score_bins(np.ones(1000)), np.arange(1000))


def test_computed_values_are_the_same_bits_with_intervals() -> None:
    maps, masks = factory(10, 16, 3)
    assert measured([(maps, masks)], intervals=5, block=333) == measured([(maps, masks)])
    double = maps.astype(float) + 1e-12
    mixed = PixelMetrics(intervals=5, block=333)
    mixed.update(maps[:4], masks[:4])
    mixed.update(double[4:], masks[4:])
    expected = measured([(maps[:4], masks[:4]), (double[4:], masks[4:])])
    assert mixed.compute() == expected


@pytest.mark.parametrize("kept", [[0, 10, 11], [0, 1, 10]])
def test_one_image_of_a_kind_gives_no_interval(kept: list[int]) -> None:
    maps, masks = factory(20, 12, 5)
    metrics = PixelMetrics(intervals=20)
    metrics.update(maps[kept], masks[kept])
    assert set(metrics.intervals().values()) == {None}
    assert None not in metrics.compute().values()


def test_defective_images_alone_give_intervals() -> None:
    maps, masks = factory(20, 12, 6)
    metrics = PixelMetrics(intervals=20)
    metrics.update(maps[:6], masks[:6])
    assert None not in metrics.intervals().values()


def test_no_resamples_no_intervals() -> None:
    metrics = PixelMetrics()
    metrics.update(*factory(5, 12, 7))
    with pytest.raises(RuntimeError, match="intervals=1000"):
        metrics.intervals()


def test_pixel_intervals_cover_the_truth() -> None:
    """Each of 200 test sets of 40 images gives an interval; the truth is that of 6,000 images."""
    truth = measured([factory(6000, 8, 99)])
    names = ("pixel_auroc", "aupro_30")
    covered = dict.fromkeys(names, 0)
    for seed in range(200):
        metrics = PixelMetrics(intervals=200, seed=seed)
        metrics.update(*factory(40, 8, seed))
        for name in names:
            low, high, _ = metrics.intervals()[name] or (0, 0, 0)
            covered[name] += low <= (truth[name] or 0) <= high
    assert all(180 <= count <= 198 for count in covered.values()), covered
