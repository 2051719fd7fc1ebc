"""Counts at levels are exact, wherever scores and levels lie."""

import numpy as np
import pytest

from tasks.metrics.counting import LevelCounts, count_below_and_equal


def same_as_sorting(levels, scores):
    levels = np.unique(levels)
    found = LevelCounts(levels).below_and_equal(scores)
    expected = count_below_and_equal(np.sort(scores), levels.astype(scores.dtype, copy=False))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found[0], [(scores < level).sum() for level in levels])
    np.testing.assert_array_equal(found[1], [(scores == level).sum() for level in levels])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_counts_are_those_of_a_sort(kind):
    random = np.random.default_rng(0)
    scores = random.standard_normal(20_000).astype(kind)
    same_as_sorting(scores[:300], scores)
    same_as_sorting(random.normal(2, 0.1, 300).astype(kind), scores)
    same_as_sorting(scores[:1], scores)
    same_as_sorting(np.nextafter(scores[:200], kind(9)), scores)


def test_ties_and_a_range_without_width():
    same_as_sorting(np.float32([1, 2, 3]), np.repeat(np.float32([0, 1, 2, 2.5, 3, 4]), 50))
    same_as_sorting(np.float32([7]), np.full(9, 7, np.float32))


@pytest.mark.parametrize("size", [1e-45, 1e-38, 1e30, 3e38])
def test_scores_at_the_ends_of_what_a_number_can_be(size):
    steps = np.linspace(-1, 1, 101)
    same_as_sorting((size * steps[::7]).astype(np.float32), (size * steps).astype(np.float32))


def test_levels_of_another_precision():
    random = np.random.default_rng(0)
    scores = random.standard_normal(5_000).astype(np.float32)
    levels = np.unique(np.r_[scores[:50].astype(float), random.standard_normal(50)])
    found = LevelCounts(levels).below_and_equal(scores)
    np.testing.assert_array_equal(found[0], [(scores.astype(float) < x).sum() for x in levels])
    assert found[1].sum() == 50


def test_nothing_to_count():
    none = np.zeros(0, np.float32)
    assert LevelCounts(none).below_and_equal(np.ones(3, np.float32))[0].size == 0
    assert LevelCounts(np.ones(1, np.float32)).below_and_equal(none)[0].tolist() == [0]
