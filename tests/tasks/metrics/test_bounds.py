import numpy as np
import pytest
from scipy import stats

from tasks.metrics.bounds import (
    allowed_count,
    expected_share,
    finite_scores,
    upper_limit,
    upper_limit_any_threshold,
)
from tasks.workspace.errors import DataError


@pytest.mark.parametrize(("errors", "n"), [(0, 1), (0, 60), (3, 20), (19, 20), (20, 20)])
def test_the_upper_limit_is_clopper_and_pearsons(errors, n):
    interval = stats.binomtest(errors, n).proportion_ci(0.9, method="exact")  # 5 % on each side
    assert upper_limit(errors, n, 0.95) == pytest.approx(interval.high, rel=1e-6)


def test_no_miss_of_n_has_the_known_closed_form():
    assert upper_limit(0, 20, 0.95) == pytest.approx(1 - 0.05 ** (1 / 20), rel=1e-12)


def test_the_upper_limit_is_exact_for_an_order_statistic():
    # above the third largest of n uniform scores lies more than the limit in 5 % of the draws
    rng = np.random.default_rng(0)
    above = 1 - np.sort(rng.random((20_000, 30)), axis=1)[:, -3]
    assert np.mean(above > upper_limit(2, 30, 0.95)) == pytest.approx(0.05, abs=0.006)
    assert np.mean(above) == pytest.approx(expected_share(2, 30), abs=0.002)


def test_the_limit_anywhere_holds_at_the_worst_threshold():
    rng = np.random.default_rng(0)
    n, broken = 40, 0
    for _ in range(2000):
        scores = np.sort(rng.random(n))
        # just below the score of rank i, n - i scores lie above and 1 - score is the truth
        limits = [upper_limit_any_threshold(n - i, n, 0.95) for i in range(n)]
        broken += bool((1 - scores > limits).any())
    assert 0.01 < broken / 2000 <= 0.06


@pytest.mark.parametrize(("share", "n", "count"), [(0.29, 100, 29), (0.01, 100, 1), (0.0, 9, 0)])
def test_shares_count_as_they_are_written(share, n, count):
    assert allowed_count(share, n) == count  # int(0.29 * 100) is 28


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="score 1 of the good calibration images is nan"):
        finite_scores([1.0, float("nan")], "good")
