"""Drift, against answers known beforehand."""

import json

import numpy as np
import pytest

from tasks.documents.prediction import Prediction
from tasks.monitoring.findings import (
    LOOKS,
    Reference,
    chance,
    compare,
    distance,
    drift,
    quantiles,
    read_reference,
    rejects,
)
from tasks.spec.schema import Drift

LIMITS = Drift(distance=0.2, defects=0.05, parts=100)


def records(scores, decision="good", brightness=0.5, sharpness=0.01):
    seen = {"brightness": brightness, "sharpness": sharpness}
    return [Prediction(time="", score=float(s), decision=decision, **seen) for s in scores]


def reference(n=200):
    even = np.linspace(0, 1, n)
    return Reference(even, 0.01, {"brightness": even, "sharpness": even / 50})


def test_distances_known_beforehand():
    assert distance(np.arange(10.0), np.arange(10.0)) == 0
    assert distance(np.zeros(3), np.ones(5)) == 1
    # 1 of 2 lies below 2, and 1 of 4; then 2 of 2 below 3, and 2 of 4
    assert distance(np.array([1.0, 3.0]), np.array([1.0, 3.0, 5.0, 7.0])) == 0.5


def test_the_distance_is_that_of_scipy():
    from scipy.stats import ks_2samp

    random = np.random.default_rng(3)
    one, other = random.normal(0, 1, 57).round(1), random.normal(0.4, 1, 91).round(1)
    assert distance(one, other) == pytest.approx(ks_2samp(one, other).statistic)


def test_chance_is_exceeded_as_rarely_as_it_says():
    random = np.random.default_rng(0)
    limit = chance(60, 80)
    above = [distance(random.random(60), random.random(80)) > limit for _ in range(2000)]
    assert np.mean(above) <= 0.015  # 1 % is promised
    assert chance(100, 100) == pytest.approx(1.6276 * np.sqrt(2 / 100), rel=1e-3)


def test_what_looks_like_the_reference_has_not_drifted():
    random = np.random.default_rng(1)
    logged = [
        one.model_copy(update={"brightness": b, "sharpness": b / 50})
        for one, b in zip(records(random.random(500)), random.random(500), strict=True)
    ]
    found = drift(logged, reference(), LIMITS)
    assert [one.name for one in found] == ["score", "rejects", "brightness", "sharpness"]
    assert not any(one.drifted for one in found)
    assert all(one.distance is not None for one in found)


def test_a_shift_of_passed_scores_is_found_and_measured():
    found = compare("score", np.linspace(0.5, 1.5, 1000), np.linspace(0, 1, 1000), LIMITS)
    assert found.distance == pytest.approx(0.5 - chance(1000, 1000), abs=2e-3)
    assert found.drifted and found.now["0.5"] == pytest.approx(1.0, abs=2e-3)


def test_a_shift_within_the_limit_is_none_however_many_parts():
    found = compare("score", np.linspace(0.1, 1.1, 10_000), np.linspace(0, 1, 10_000), LIMITS)
    assert 0 < found.distance < 0.2 and not found.drifted


def test_scores_of_rejected_parts_do_not_count():
    logged = records(np.linspace(0, 1, 150)) + records(np.full(150, 9.0), "defect")
    [score, *_] = drift(logged, reference(), LIMITS)
    assert score.parts == 150 and not score.drifted


def test_darker_images_are_found():
    found = {
        one.name: one
        for one in drift(records(np.linspace(0, 1, 200), brightness=-1.0), reference(), LIMITS)
    }
    assert found["brightness"].drifted and not found["score"].drifted


@pytest.mark.parametrize(("count", "alarm"), [(0, False), (6, False), (10, False), (30, True)])
def test_rejects_are_measured_against_overkill_and_usual_defects(count, alarm):
    logged = records(range(200 - count)) + records(range(count), "defect")
    found = rejects(logged, 0.01, LIMITS)
    assert found.drifted is alarm
    assert found.now == {"rate": count / 200}
    assert found.reference == {"rate": pytest.approx(0.06)}


def test_the_excess_of_rejects_is_certain_by_the_exact_limit():
    from scipy.stats import binomtest

    found = rejects(records(range(70)) + records(range(30), "defect"), 0.0, LIMITS)
    low = binomtest(30, 100, alternative="greater").proportion_ci(0.99, method="exact").low
    assert found.distance == pytest.approx(low - 0.05)


def test_too_few_say_nothing():
    found = drift(records(np.full(99, 7.0)), reference(), LIMITS)
    assert all(one.distance is None and not one.drifted for one in found)
    few = drift(records(np.full(500, 7.0)), reference(10), LIMITS)
    assert few[0].distance is None and few[1].distance == 0


def test_quantiles_are_values_that_occurred():
    assert quantiles(np.arange(1.0, 101.0)) == {"0.5": 50.0, "0.9": 90.0, "0.99": 99.0}
    assert quantiles(np.zeros(0)) == {}


def test_the_reference_of_a_release_is_of_good_parts_that_pass(tmp_path):
    decision = {"threshold": 3.0, "accept": 2.0, "overkill_bound": 0.02}
    (tmp_path / "threshold.json").write_text(json.dumps(decision))
    (tmp_path / "calibration.csv").write_text("path,score,peak\na,1.0,1\nb,2.0,1\nc,2.5,1\n")
    found = read_reference(tmp_path)
    assert found.scores.tolist() == [1.0, 2.0] and found.overkill == 0.02 and found.looks == {}
    (tmp_path / LOOKS).write_text("brightness,sharpness\n0.5,0.01\n")
    assert read_reference(tmp_path).looks["brightness"].tolist() == [0.5]
