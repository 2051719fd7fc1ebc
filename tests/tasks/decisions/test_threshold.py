import json

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from tasks.decisions.split import held_out
from tasks.decisions.threshold import choose_limits, choose_threshold, classify_score, review_shares
from tasks.spec.schema import Review, Rule, ThresholdSpec
from tasks.workspace.errors import DataError, SpecError


def draws(seed, good=40, bad=12, digits=None):
    """Overlapping scores of good and defective images; few digits make ties."""
    rng = np.random.default_rng(seed)
    parts = rng.lognormal(size=good), rng.lognormal(1.0, size=bad)
    return parts if digits is None else tuple(np.round(part, digits) for part in parts)


@pytest.mark.parametrize(("n", "overkill"), [(19, 0.1), (99, 0.01), (200, 0.05)])
def test_the_promised_overkill_is_kept(n, overkill):
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(2000):
        scores = rng.lognormal(size=n + 1)
        shares.append(
            scores[-1] > choose_threshold(ThresholdSpec(overkill=overkill), scores[:-1]).value
        )
    bound = choose_threshold(ThresholdSpec(overkill=overkill), np.arange(n)).overkill_bound
    assert bound <= overkill
    assert np.mean(shares) == pytest.approx(bound, abs=3 * (bound / 2000) ** 0.5)


def test_too_few_normals_say_what_they_can_promise():
    chosen = choose_threshold(ThresholdSpec(overkill=0.01), np.array([3.0, 1.0, 2.0]))
    assert chosen.value == 3.0
    assert chosen.overkill_bound == 0.25
    assert chosen.note == "3 held-out images promise 25.0% overkill, not 1.0%"


@pytest.mark.parametrize("policy", ["normal_quantile", "max_overkill"])
def test_no_normals_no_threshold(policy):
    chosen = choose_threshold(Rule(policy=policy), [], [1.0, 2.0])
    assert (chosen.value, chosen.used, chosen.defects) == (None, None, 2)
    assert "too few to set a threshold" in chosen.note


def test_fixed():
    chosen = choose_threshold(Rule(policy="fixed", value=7.5), [1.0, 8.0, 9.0])
    assert (chosen.value, chosen.overkill) == (7.5, 2 / 3)
    assert choose_threshold(Rule(policy="fixed", value=7.5), [], [7.0, 7.5, 8.0, 9.0]).miss == 0.5
    with pytest.raises(SpecError, match=r"threshold\.value"):
        choose_threshold(Rule(policy="fixed"), [1.0])


@pytest.mark.parametrize("seed", range(5))
def test_max_overkill_keeps_its_share_with_confidence(seed):
    good, _ = draws(seed, good=300)
    chosen = choose_threshold(Rule(policy="max_overkill", overkill=0.05), good)
    allowed = max(k for k in range(300) if stats.binom.cdf(k, 300, 0.05) <= 0.05)
    assert (good > chosen.value).sum() == allowed
    assert chosen.overkill_upper <= 0.05
    assert not chosen.note


def test_max_overkill_fails_in_one_of_twenty_calibrations():
    rng = np.random.default_rng(0)
    rule = Rule(policy="max_overkill", overkill=0.1)
    true = [1 - choose_threshold(rule, rng.random(60)).value for _ in range(2000)]
    allowed = max(k for k in range(60) if stats.binom.cdf(k, 60, 0.1) <= 0.05)
    assert np.mean(np.array(true) > 0.1) == pytest.approx(
        stats.binom.cdf(allowed, 60, 0.1), abs=0.012
    )


def test_max_overkill_with_too_few_says_what_it_promises():
    chosen = choose_threshold(Rule(policy="max_overkill"), np.arange(20))
    assert chosen.value == 19
    assert chosen.note == (
        f"20 held-out images promise {1 - 0.05 ** (1 / 20):.1%} overkill with 95% confidence, "
        "not 1.0%"
    )


@pytest.mark.parametrize("share", [0.0, 0.1, 0.29, 0.5])
@pytest.mark.parametrize("digits", [None, 1, 0])
def test_max_miss_is_the_largest_value_that_misses_no_more(share, digits):
    for seed in range(20):
        good, bad = draws(seed, bad=100, digits=digits)
        chosen = choose_threshold(Rule(policy="max_miss", miss=share), good, bad)
        again = json.loads(json.dumps(chosen.value))
        allowed = round(share * 100)
        assert (bad <= again).sum() <= allowed
        assert (bad <= np.nextafter(again, np.inf)).sum() > allowed
        assert chosen.overkill == (good > again).mean()
        assert f"{(good > again).sum()} of 40 good ones" in chosen.note


def test_max_miss_with_one_defect_in_single_precision():
    lowest = float(np.float32(0.1))
    chosen = choose_threshold(Rule(policy="max_miss"), [], [lowest] * 5)
    assert classify_score(lowest, chosen.value) == "defect"
    assert classify_score(float(np.nextafter(lowest, 0)), chosen.value) == "good"
    assert "its overkill is unknown" in chosen.note


def test_the_miss_bounds_are_kept_by_new_defects():
    rng = np.random.default_rng(0)
    rule = Rule(policy="max_miss", miss=0.1)
    chosen = [choose_threshold(rule, [0.0], rng.random(30)) for _ in range(4000)]
    true = np.array([one.value for one in chosen])  # uniform: the share below is the value
    assert true.mean() == pytest.approx(chosen[0].miss_bound, abs=0.004)
    assert (true > chosen[0].miss_upper).mean() == pytest.approx(0.05, abs=0.012)


def test_ties_promise_no_more_than_what_was_allowed():
    chosen = choose_threshold(Rule(policy="max_miss", miss=0.5), [0.0], [1.0] * 10)
    assert chosen.miss == 0
    assert chosen.miss_bound == 6 / 11
    chosen = choose_threshold(Rule(overkill=0.05), [1.0] * 99)
    assert chosen.overkill == 0
    assert chosen.overkill_bound == 5 / 100


@pytest.mark.parametrize("digits", [None, 1, 0])
def test_f1_max_is_no_worse_than_any_threshold(digits):
    for seed in range(4):
        good, bad = draws(seed, 20, 8, digits)
        scores = np.concatenate((good, bad))
        truth = np.arange(len(scores)) >= len(good)
        chosen = choose_threshold(Rule(policy="f1_max"), good, bad)
        every = [scores.min() - 1, *scores]
        best = max(f1_score(truth, scores > t, zero_division=0) for t in every)
        assert f1_score(truth, scores > chosen.value) == pytest.approx(best, abs=1e-12)
        equal = [
            t
            for t in every
            if f1_score(truth, scores > t, zero_division=0) > best - 1e-12 and t <= chosen.value
        ]
        assert {tuple(scores > t) for t in equal} == {tuple(scores > chosen.value)}  # the lowest


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (1.0, np.nextafter(1, 2)),
        (0.0, 5e-324),
        (-1.7e308, 1.7e308),
        (1.6e308, 1.7e308),  # whose sum overflows
        (1 + 2**-52, 1 + 2**-51),  # whose middle would be rounded to the upper
        (1.5e-323, 2e-323),
    ],
)
def test_f1_max_parts_what_can_be_parted(good, bad):
    value = choose_threshold(Rule(policy="f1_max"), [good] * 5, [bad] * 5).value
    assert good <= value < bad


def test_f1_max_promises_no_single_thresholds_bound():
    chosen = choose_threshold(Rule(policy="f1_max"), *draws(0))
    assert chosen.overkill_bound is chosen.miss_bound is None
    assert chosen.overkill_upper == pytest.approx(
        min(1, chosen.overkill + np.sqrt(np.log(20) / 80)), rel=1e-12
    )


@pytest.mark.parametrize("policy", ["max_miss", "f1_max"])
def test_too_few_defects_fall_back_and_say_so(policy):
    good, bad = draws(0, bad=4)
    chosen = choose_threshold(Rule(policy=policy), good, bad)
    assert (chosen.asked, chosen.used) == (policy, "normal_tail")
    assert chosen.value == choose_threshold(Rule(policy="normal_tail"), good).value
    assert chosen.note.startswith(
        f"{policy} needs 5 calibration defects and has 4 (raise threshold.calibration_defects or "
        "label more): normal_tail is used"
    )
    assert choose_threshold(Rule(policy=policy), good, bad, min_defects=4).used == policy


def test_between_the_two_thresholds_a_person_looks():
    good, bad = draws(1, good=200)
    policy = ThresholdSpec(policy="normal_quantile", overkill=0.05, review=Review())
    limits = choose_limits(policy, good, bad)
    decisions = [limits.classify(score) for score in np.concatenate((good, bad))]
    assert limits.accept.value < limits.reject.value
    assert "good" not in decisions[200:]
    assert decisions[:200].count("defect") == (good > limits.reject.value).sum() <= 10
    record = json.loads(json.dumps(limits.record(), allow_nan=False))
    defective = [False] * 200 + [True] * 12
    shares = review_shares(decisions, defective)
    assert record["calibration_review"] == pytest.approx(shares["review_good"])
    assert shares["review"] == decisions.count("review") / 212
    assert (record["calibration_miss"], record["accept"]) == (0, limits.accept.value)


def test_policies_that_leave_no_band_share_one_threshold():
    good, bad = np.linspace(0, 1, 200), np.linspace(2, 3, 10)
    policy = ThresholdSpec(policy="normal_quantile", review=Review())
    limits = choose_limits(policy, good, bad)
    assert limits.accept is limits.reject
    assert limits.reject.value <= 1
    assert "serves for both: the accept threshold 2 lies above reject" in limits.record()["note"]
    assert limits.record()["review_policy"] is None


def test_without_defects_no_part_is_reviewed_and_the_record_says_why():
    limits = choose_limits(ThresholdSpec(overkill=0.5, review=Review()), np.arange(200.0), [])
    assert limits.accept is limits.reject
    assert "serves for both: max_miss needs 5 calibration defects" in limits.record()["note"]


def test_fixed_thresholds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match=r"threshold\.review\.value is 3\.0 and threshold\.value"):
        ThresholdSpec(policy="fixed", value=2, review={"policy": "fixed", "value": 3})


def test_no_review_is_one_threshold():
    limits = choose_limits(ThresholdSpec(), np.arange(200.0))
    assert {limits.classify(score) for score in np.arange(-5, 300.0)} == {"good", "defect"}
    assert choose_limits(ThresholdSpec(), []).classify(1.0) == ""


def test_a_score_that_is_no_number_is_not_good():
    with pytest.raises(DataError, match="the score is nan"):
        classify_score(float("nan"), 1.0)


def test_defects_are_taken_only_where_a_policy_learns_from_them():
    assert ThresholdSpec().defect_share == 0
    assert ThresholdSpec(policy="max_miss", calibration_defects=0.3).defect_share == 0.3
    assert ThresholdSpec(policy="normal_tail", calibration_defects=0.3).defect_share == 0
    assert not ThresholdSpec(policy="normal_tail").learns_from_defects
    assert ThresholdSpec(review={}, calibration_defects=0.4).defect_share == 0.4


def hashes(n):
    rng = np.random.default_rng(1)
    return [rng.bytes(32).hex() for _ in range(n)]


def test_the_split_keeps_its_share_and_never_moves_an_image():
    some = hashes(400)
    held = dict(zip(some, held_out(some, 0.2), strict=True))
    assert 0.15 < np.mean(list(held.values())) < 0.25
    more = some + hashes(900)[400:]
    again = dict(zip(more, held_out(more, 0.2), strict=True))
    assert sum(held[sha] != again[sha] for sha in some) <= 2  # only the extremes may change


@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_images_have_both_sides(n):
    sides = held_out(hashes(n), 0.2)
    assert any(sides) and not all(sides)


def test_one_image_is_for_the_fit():
    assert held_out(hashes(1), 0.2) == [False]
