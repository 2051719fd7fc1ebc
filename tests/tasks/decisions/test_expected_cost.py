import numpy as np
import pytest
from scipy import stats

from tasks.decisions.cross_fit import cross_fitted
from tasks.decisions.edge import edge
from tasks.decisions.expected_cost import cost_interval, expected
from tasks.decisions.threshold import choose_limits, choose_threshold
from tasks.spec.policy_names import SCORE_RULES
from tasks.spec.schema import Cost, Rule, ThresholdSpec

GOOD = stats.norm(10, 1).ppf((np.arange(40) + 0.5) / 40)


def chosen(bad, cost=None, overkill=0.01):
    rule = Rule(policy="min_cost", overkill=overkill)
    return choose_threshold(rule, GOOD, bad, cost=cost).value


def test_many_defects_put_the_threshold_where_the_cost_is_least():
    bad = stats.norm(13, 1).ppf((np.arange(400) + 0.5) / 400)
    # equal costs and equal spreads: the least sum of both errors lies in the middle
    assert chosen(bad) == pytest.approx(11.5, abs=0.2)
    dear = chosen(bad, Cost(miss=200))
    cheap = chosen(bad, Cost(miss=2))
    assert dear < chosen(bad) < cheap


def test_few_defects_move_the_threshold_little_and_more_of_them_more():
    alone = choose_threshold(Rule(policy="normal_tail"), GOOD).value
    moved = [abs(chosen([11.0] * count) - alone) for count in (1, 5, 50)]
    assert 0 <= moved[0] < moved[1] < moved[2]


def test_a_defect_far_away_lets_the_threshold_near_the_promise():
    alone = choose_threshold(Rule(policy="normal_tail"), GOOD).value
    assert alone <= chosen([100.0]) < alone + 1


@pytest.mark.parametrize("factor", [1e-3, 1.0, 1e3])
def test_the_unit_of_cost_has_no_influence(factor):
    cost = Cost(miss=20 * factor, overkill=factor)
    assert chosen([12.0, 14.0], cost) == pytest.approx(chosen([12.0, 14.0]), rel=1e-9)


def same(scores):
    """The same scores by every rule."""
    return {rule: [float(score) for score in scores] for rule in SCORE_RULES}


def test_cross_fitting_judges_each_defect_by_the_others():
    defects, contents = [11.0, 12.5, 15.0, 15.0], ["a", "b", "c", "c"]
    policy = ThresholdSpec()
    found = [limits for _, limits in cross_fitted(policy, same(GOOD), same(defects), contents)]
    others = choose_limits(policy, GOOD, [12.5, 15.0, 15.0])
    assert found[0] == others
    assert found[2] == found[3] == choose_limits(policy, GOOD, [11.0, 12.5])


def test_cross_fitted_misses_are_those_of_new_defects():
    """Over draws, the reported miss is that of fresh defects."""
    rng = np.random.default_rng(0)
    policy = ThresholdSpec(policy="max_miss")
    crossed, itself, fresh = [], [], []
    for _ in range(150):
        bad = rng.normal(12, 1, 8)
        shipped = choose_limits(policy, GOOD, bad).reject.value
        found = cross_fitted(policy, same(GOOD), same(bad), [str(i) for i in range(8)])
        missed = [limits.classify(b) == "good" for (_, limits), b in zip(found, bad, strict=True)]
        crossed.append(np.mean(missed))
        itself.append((bad <= shipped).mean())
        fresh.append(stats.norm(12, 1).cdf(shipped))
    assert np.mean(itself) == 0
    assert np.mean(crossed) == pytest.approx(np.mean(fresh), abs=0.02)


def test_expected_cost_and_its_interval():
    cost = Cost(miss=10, overkill=1, defects=0.1)
    assert expected(cost, 0.2, 0.1, None) == pytest.approx(0.1 * 10 * 0.2 + 0.9 * 0.1)
    low, high = cost_interval(
        cost, {"miss": 0.2, "overkill": 0.1}, {"miss": (0.1, 0.4), "overkill": (0.0, 0.2)}
    )
    assert low == pytest.approx(0.29 - np.hypot(0.1, 0.09))
    assert high == pytest.approx(0.29 + np.hypot(0.2, 0.09))
    assert cost_interval(cost, {"miss": None, "overkill": 0.1}, {"miss": None}) is None


def test_the_images_at_the_edge_and_what_they_cost():
    paths = [*(f"{i}.png" for i in range(len(GOOD))), "odd.png", "odder.png"]
    scores = [*map(float, GOOD), 30.0, 31.0]
    bad = np.array([13.0, 14.0, 40.0, 41.0])
    policy = ThresholdSpec(policy="normal_quantile")
    found = edge(policy, paths, scores, [], (GOOD, bad))
    assert [image["path"] for image in found["images"]] == ["odder.png", "odd.png"]
    assert (found["odd"], found["of"]) == (2, 42)
    assert found["without"]["threshold"] == GOOD.max()
    assert (found["without"]["miss"], found["without"]["overkill"]) == (0, 0)
