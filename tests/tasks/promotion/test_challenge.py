"""Reasons against a challenger: what it decides goes before how it ranks."""

from types import SimpleNamespace

import numpy as np
import pytest

from tasks.metrics.comparison import Comparison, CostDifference
from tasks.promotion.challenge import Challenge, wrong_decisions
from tasks.spec.schema import Gates

WORSE, SAME, BETTER = (
    Comparison(-0.1, -0.2, -0.05, 0.01),
    Comparison(0.0, -0.01, 0.01, 1.0),
    Comparison(0.1, 0.05, 0.2, 0.01),
)
DEARER, ALIKE, CHEAPER = (
    CostDifference(0.2, 0.1, 0.3),
    CostDifference(0.0, -0.1, 0.1),
    CostDifference(-0.2, -0.3, -0.1),
)


def reasons(rule, found, cost):
    challenge = Challenge(None, None, "nut", SimpleNamespace(gates=Gates(rule=rule)), None)
    return challenge.against(found, cost)


@pytest.mark.parametrize(
    ("rule", "found", "cost", "accepted"),
    [
        ("not_worse", SAME, ALIKE, True),
        ("not_worse", SAME, None, True),
        ("not_worse", WORSE, ALIKE, False),
        ("not_worse", WORSE, CHEAPER, True),
        ("not_worse", BETTER, DEARER, False),
        ("better", SAME, ALIKE, False),
        ("better", BETTER, ALIKE, True),
        ("better", SAME, CHEAPER, True),
    ],
)
def test_decisions_go_before_ranks(rule, found, cost, accepted):
    assert (not reasons(rule, found, cost)) is accepted


def test_the_reason_names_the_difference_and_its_interval():
    [why] = reasons("not_worse", SAME, DEARER)
    assert why == (
        "its decisions cost 0.200 a part more than the champion's (95 % interval 0.100 to 0.300)"
    )


def test_review_is_no_wrong_decision():
    decisions = np.array(["good", "review", "defect", "good", "review", "defect"])
    defective = np.array([True] * 3 + [False] * 3)
    assert wrong_decisions(decisions, defective).tolist() == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]
