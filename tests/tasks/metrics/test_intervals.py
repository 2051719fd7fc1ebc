"""Intervals of image figures and rates against loops over resamples, scipy and simulation."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from tasks.metrics.intervals import binomial_interval, draw_resamples, image_intervals


def test_resamples_keep_the_number_of_each_kind() -> None:
    strata = np.array([0, 2, 4]), np.array([1, 3]), np.array([], int)
    chunks = list(draw_resamples(strata, 250, 7))
    drawn = np.concatenate(chunks)
    assert [len(chunk) for chunk in chunks] == [100, 100, 50] and drawn.shape == (250, 5)
    assert (drawn[:, [0, 2, 4]].sum(1) == 3).all() and (drawn[:, [1, 3]].sum(1) == 2).all()
    np.testing.assert_array_equal(drawn, np.concatenate(list(draw_resamples(strata, 250, 7))))
    assert not np.array_equal(drawn, np.concatenate(list(draw_resamples(strata, 250, 8))))
    # each image is drawn once on average, 0 to 3 times with the binomial chances
    share = np.bincount(drawn[:, 0].astype(int), minlength=4) / 250
    np.testing.assert_allclose(share, stats.binom.pmf(range(4), 3, 1 / 3), atol=0.09)


@pytest.mark.parametrize("values", [6, 10_000])
def test_image_intervals_equal_a_loop_over_resamples(values: int) -> None:
    random = np.random.default_rng(values)
    labels = random.random(50) < 0.4
    scores = random.integers(0, values, 50) + values // 3 * labels
    kinds = np.flatnonzero(~labels), np.flatnonzero(labels)
    found = []
    for times in np.concatenate(list(draw_resamples(kinds, 120, 5))):
        at = np.repeat(np.arange(50), times.astype(int))
        truth, score = labels[at], scores[at]
        precision, recall, _ = sklearn_metrics.precision_recall_curve(truth, score)
        with np.errstate(invalid="ignore"):
            f1 = np.nanmax(2 * precision * recall / (precision + recall))
        auroc = sklearn_metrics.roc_auc_score(truth, score)
        found.append((auroc, sklearn_metrics.average_precision_score(truth, score), f1))
    expected = np.quantile(found, [0.05, 0.95], axis=0).T
    ours = image_intervals(scores, labels, resamples=120, seed=5, level=0.9)
    assert list(ours) == ["image_auroc", "image_ap", "image_f1_max"]
    np.testing.assert_allclose(list(ours.values()), expected, atol=1e-12)


def test_image_intervals_cover_the_truth() -> None:
    truth = NormalDist().cdf(1.5 / 2**0.5)
    covered = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        labels = np.arange(100) < 40
        found = image_intervals(random.standard_normal(100) + 1.5 * labels, labels, 300, seed)
        low, high = found["image_auroc"] or (0, 0)
        covered += low <= truth <= high
    assert 180 <= covered <= 198


def test_fewer_than_two_images_of_a_kind_give_no_interval() -> None:
    for labels in ([0, 0, 0], [1, 1, 0], [0, 0, 1]):
        assert set(image_intervals([1, 2, 3], labels).values()) == {None}
    assert None not in image_intervals([1, 2, 3, 4], [0, 1, 0, 1]).values()


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_binomial_interval_equals_scipy(level: float) -> None:
    for n in (1, 7, 60):
        for k in range(n + 1):
            exact = stats.binomtest(k, n).proportion_ci(level, "exact")
            assert binomial_interval(k, n, level) == pytest.approx((exact.low, exact.high))


def test_binomial_interval_covers_every_rate() -> None:
    n = 40
    ends = np.array([binomial_interval(k, n) for k in range(n + 1)])
    for rate in np.linspace(0, 1, 101):
        inside = (ends[:, 0] <= rate) & (rate <= ends[:, 1])
        assert stats.binom.pmf(np.arange(n + 1), n, rate)[inside].sum() >= 0.95


def test_binomial_interval_needs_trials() -> None:
    assert binomial_interval(0, 0) is None
    with pytest.raises(ValueError, match="5 of 4"):
        binomial_interval(5, 4)
