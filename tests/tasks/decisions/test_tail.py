import numpy as np
import pytest
from scipy import stats

from tasks.decisions.tail import Tail, odd_ones
from tasks.decisions.threshold import choose_threshold
from tasks.spec.schema import Rule


@pytest.mark.parametrize("scale", ["raw", "log"])
@pytest.mark.parametrize("n", [16, 40])
def test_the_tail_keeps_its_promise_over_draws(scale, n):
    """Expected overkill is within its bound, and the limit holds in 95 % of draws."""
    rng = np.random.default_rng(0)
    known = stats.norm(5, 1) if scale == "raw" else stats.lognorm(0.3, scale=2)
    real, bound, held = [], [], []
    for _ in range(300):
        chosen = choose_threshold(
            Rule(policy="normal_tail", overkill=0.02), known.rvs(n, random_state=rng)
        )
        real.append(known.sf(chosen.value))
        bound.append(chosen.overkill_bound)
        held.append(real[-1] <= chosen.overkill_upper)
    assert np.mean(real) == pytest.approx(0.02, abs=0.01)
    assert np.mean(real) <= np.mean(bound) + 0.002
    assert np.mean(bound) < 0.035
    assert np.mean(held) > 0.92


def test_the_limit_is_the_tolerance_limit_of_the_tables():
    # Hahn and Meeker: one-sided 95 % confidence, 95 % of the population, n = 10: factor 2.911
    scores = stats.norm.ppf((np.arange(10) + 0.5) / 10)
    tail = Tail.of(scores)
    assert tail.upper(tail.mean + 2.911 * tail.spread, 0.95) == pytest.approx(0.05, abs=2e-4)


def test_the_scale_that_fits_is_taken():
    at = (np.arange(60) + 0.5) / 60
    assert not Tail.of(stats.norm(5, 1).ppf(at)).logarithms
    assert Tail.of(stats.lognorm(0.6).ppf(at)).logarithms
    assert not Tail.of(stats.norm(0, 1).ppf(at)).logarithms  # half of them below 0


def test_two_copies_that_score_near_zero_do_not_widen_the_tail():
    scores = stats.norm(14, 1).ppf((np.arange(30) + 0.5) / 30)
    alone = Tail.of(scores).threshold(0.01)
    assert Tail.of(np.append(scores, [1.0, 1.0])).threshold(0.01) == pytest.approx(alone, rel=0.05)


def test_scores_that_are_not_normal_are_told_and_counted():
    scores = np.append(stats.norm(5, 0.1).ppf((np.arange(50) + 0.5) / 50), [9, 9.1, 9.2])
    chosen = choose_threshold(Rule(policy="normal_tail"), scores)
    over = int((scores > chosen.value).sum())
    assert over == 3
    assert "say that they are not" in chosen.note
    assert chosen.overkill_bound == pytest.approx(4 / 54)
    assert chosen.overkill_upper == pytest.approx(stats.beta.ppf(0.95, 4, 50), rel=1e-9)


@pytest.mark.parametrize("scores", [[1.0, 2, 3, 4], [2.0] * 20])
def test_too_few_or_equal_scores_have_no_tail(scores):
    assert Tail.of(np.array(scores)) is None
    for policy, known in (("normal_tail", []), ("min_cost", [9.0])):
        chosen = choose_threshold(Rule(policy=policy), scores, known)
        assert (chosen.value, chosen.asked, chosen.used) == (max(scores), policy, "normal_quantile")
        assert "normal_quantile is used" in chosen.note


def test_auto_counts_where_it_can_and_models_where_it_cannot():
    rng = np.random.default_rng(1)
    assert choose_threshold(Rule(), rng.normal(5, 1, 99)).used == "normal_quantile"
    assert choose_threshold(Rule(), rng.normal(5, 1, 98)).used == "normal_tail"
    assert choose_threshold(Rule(), rng.normal(5, 1, 4)).used == "normal_quantile"
    assert choose_threshold(Rule(), rng.normal(5, 1, 98), [9.0]).used == "min_cost"


def test_odd_ones_lie_above_the_fence():
    assert odd_ones(np.array([1.0, 2, 3, 4, 5, 30])).tolist() == [False] * 5 + [True]
    assert not odd_ones(np.array([1.0, 2, 90])).any()
