"""Which number of an image is compared with the threshold, and that its choice stays honest."""

import numpy as np
import pytest

from tasks.decisions.cross_fit import cross_fitted
from tasks.decisions.score_rule import by_rule, choose_rule, map_score
from tasks.decisions.threshold import choose_limits
from tasks.spec.policy_names import SCORE_RULES
from tasks.spec.schema import ThresholdSpec
from tasks.workspace.errors import DataError


def drawn(rng, count, **centres):
    """Normal scores by rule, with deviation 1 around 5 or a rule's own centre."""
    return {rule: list(rng.normal(centres.get(rule, 5), 1, count)) for rule in SCORE_RULES}


def test_the_score_of_a_map_is_its_highest_value_or_the_mean_of_its_top():
    map = np.arange(400, dtype=np.float32).reshape(20, 20)
    assert map_score(map, "max") == 399
    assert map_score(map, "top") == np.mean([399, 398, 397, 396])
    assert map_score(map[:5, :5], "top") == map[4, 4]  # at least one value


def test_the_rule_that_tells_known_defects_apart_is_chosen():
    rng = np.random.default_rng(0)
    good, bad = drawn(rng, 60), drawn(rng, 8, top=12)
    assert choose_rule(ThresholdSpec(), good, bad) == "top"
    assert choose_rule(ThresholdSpec(), good, drawn(rng, 8, max=12)) == "max"
    assert choose_rule(ThresholdSpec(score="max"), good, bad) == "max"


@pytest.mark.parametrize(
    ("policy", "defects"),
    [({}, 0), ({}, 4), ({"policy": "normal_quantile"}, 20), ({"policy": "fixed", "value": 6}, 20)],
)
def test_without_defects_to_choose_by_it_is_the_model_s_own(policy, defects):
    rng = np.random.default_rng(0)
    good, bad = drawn(rng, 60), drawn(rng, defects, top=12)
    assert choose_rule(ThresholdSpec(**policy), good, bad) == "model"


def test_where_all_are_alike_it_is_the_model_s_own():
    rng = np.random.default_rng(0)
    one, other = list(rng.normal(5, 1, 60)), list(rng.normal(9, 1, 20))
    same = [dict.fromkeys(SCORE_RULES, scores) for scores in (one, other)]
    assert choose_rule(ThresholdSpec(), *same) == "model"


def test_a_choice_among_rules_reports_the_misses_of_new_defects():
    """All rules are equally good: who chooses the best on the images that are judged would report
    fewer misses than there are."""
    rng = np.random.default_rng(0)
    policy, centres = ThresholdSpec(), dict.fromkeys(SCORE_RULES, 8)
    crossed, itself, fresh = [], [], []
    for _ in range(20):
        good, bad, new = drawn(rng, 30), drawn(rng, 8, **centres), drawn(rng, 200, **centres)
        rule = choose_rule(policy, good, bad)
        limits = choose_limits(policy, good[rule], bad[rule])
        found = cross_fitted(policy, good, bad, [str(i) for i in range(8)])
        at = [limit.classify(bad[r][i]) == "good" for i, (r, limit) in enumerate(found)]
        crossed.append(np.mean(at))
        itself.append(np.mean([limits.classify(score) == "good" for score in bad[rule]]))
        fresh.append(np.mean([limits.classify(score) == "good" for score in new[rule]]))
    assert np.mean(itself) < np.mean(fresh) - 0.02
    assert np.mean(crossed) == pytest.approx(np.mean(fresh), abs=0.05)


def test_scores_of_an_older_version_are_refused():
    with pytest.raises(DataError, match="fit the model again"):
        by_rule([{"path": "a", "score": "1", "peak": "2"}])
