import pytest

from tasks.documents.metrics import Metrics
from tasks.documents.threshold import Thresholds
from tasks.reporting.decision_lines import edge_line, outcome, threshold_lines
from tasks.reporting.disagreements import ranks_well

EDGE = {
    "images": [{"path": "train/good/7.png", "score": 3.5}],
    "odd": 1,
    "of": 31,
    "without": {"threshold": 2.5, "miss": 0.06, "overkill": None},
}


@pytest.mark.parametrize(
    ("miss", "overkill", "said"),
    [
        (
            0.06,
            0.01,
            "Of 100 defects about 6 pass (1 to 20); of 100 good parts about 1 is rejected",
        ),
        (0.0, 0.004, "Of 100 defects about 0 pass (1 to 20); of 100 good parts about 0.4 are"),
        (None, 0.5, "Misses are unmeasured (no defective test images); of 100 good parts about 50"),
        (0.01, None, "Of 100 defects about 1 passes (1 to 20); overkill is unmeasured"),
    ],
)
def test_what_decisions_mean(miss, overkill, said):
    found = outcome(Metrics(miss=miss, overkill=overkill), {"miss": [0.008, 0.2]})
    assert found.startswith(said)


def test_who_set_the_threshold():
    assert edge_line(EDGE, 3.25) == (
        "1 odd good image of 31 (train/good/7.png): without them the threshold would be 2.5 "
        "instead of 3.25 (miss 6.0% of the test images)"
    )
    assert edge_line(EDGE, 2.5).endswith("would be the same")
    assert edge_line({}, 2.5) == edge_line(EDGE, None) == ""


def test_a_threshold_says_its_rule_its_promise_and_its_note():
    found = Thresholds(
        threshold=3.25,
        policy_used="normal_tail",
        calibration_images=31,
        overkill_bound=0.01,
        overkill_upper=0.04,
        note="a note",
    )
    assert threshold_lines(found, EDGE)[:3] == [
        "threshold 3.25 by normal_tail",
        "by 31 good images it rejects 1.0% on average and 4.0% of good parts at most",
        "a note",
    ]
    assert threshold_lines(Thresholds(threshold=None), {}) == []


def test_only_a_model_that_ranks_well_may_doubt_a_label():
    rows = [{"label": "good", "score": str(i)} for i in range(10)]
    worse = [{"label": "dent", "score": str(i)} for i in range(10)]
    better = [{"label": "dent", "score": str(i + 8)} for i in range(10)]
    assert not ranks_well(rows + worse)
    assert ranks_well(rows + better)
    assert not ranks_well(rows)
