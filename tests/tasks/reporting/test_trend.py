"""Miss and overkill over the decisions of the gate, refusals too."""

import pytest

from tasks.documents.champion import ChangeRecord
from tasks.documents.metrics import GateMetrics
from tasks.reporting.trend import TALL, WIDE, Judged, decision_trend, judged


def one(miss, overkill, accepted=True, ends=None):
    figures = GateMetrics(miss=miss, overkill=overkill, intervals=ends or {})
    return Judged("2026-05-04T03:02:01+00:00", "padim", "0123456789abcdef", accepted, figures)


def test_lines_follow_each_other_with_the_limits_of_the_spec():
    limits = {"miss": 0.4, "overkill": None}
    drawn = decision_trend([one(0.2, 0.1), one(0.1, None, False), one(0.0, 0.2)], limits)
    miss, overkill = drawn["lines"]
    assert [dot["x"] for dot in miss["dots"]] == [0, WIDE / 2, WIDE]
    assert [dot["x"] for dot in overkill["dots"]] == [0, WIDE]  # one was not measured
    heights = [dot["y"] for dot in miss["dots"]]
    assert heights == sorted(heights) and heights[-1] == TALL  # less is lower
    assert 0 < miss["at"] < heights[0] and overkill["at"] is None
    assert [dot["judged"].accepted for dot in miss["dots"]] == [True, False, True]


def test_an_interval_stays_in_the_picture_and_one_decision_is_no_trend():
    assert decision_trend([one(0.2, 0.1)], {}) is None
    assert decision_trend([one(None, None), one(0.2, 0.1)], {}) is None
    drawn = decision_trend([one(0.0, 0.0, ends={"miss": [0.0, 0.9]})] * 2, {"miss": 0.01})
    assert all(0 <= dot["top"] <= dot["y"] <= TALL for dot in drawn["lines"][0]["dots"])


@pytest.mark.parametrize("kind", ["promote", "refusal"])
def test_a_record_of_the_gate_tells_its_decision(kind):
    decision = {
        "accepted": kind == "promote",
        "challenger": {"algorithm": "padim", "release": "a" * 16},
        "metrics": {"miss": 0.25, "intervals": {"miss": [0.1, 0.4]}},
    }
    body = {"kind": kind, "time": "2026"}
    body |= {"decision": decision} if kind == "promote" else decision
    found = judged(ChangeRecord.model_validate(body))
    assert (found.algorithm, found.release, found.accepted) == (
        "padim",
        "a" * 16,
        kind != "refusal",
    )
    assert found.metrics.miss == 0.25 and found.time == "2026"


def test_a_record_without_figures_tells_none():
    for body in ({"kind": "threshold"}, {"kind": "promote", "decision": None}, {"kind": "refusal"}):
        assert judged(ChangeRecord.model_validate(body)) is None
