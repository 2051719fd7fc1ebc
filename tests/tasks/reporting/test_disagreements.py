import numpy as np
import pytest

from tasks.reporting.disagreements import disagreements, label_surprise
from tasks.workspace.errors import DataError

PATHS = ["a", "b", "c", "d"]
LABELS = ["good", "good", "crack", "crack"]


def found(scores, decisions):
    return disagreements(PATHS, LABELS, scores, decisions)


def voted(*votes):
    """Decisions of algorithms, a word of letters each: g, d, r(eview) or - (none)."""
    words = {"g": "good", "d": "defect", "r": "review", "-": ""}
    decisions = {f"m{i}": [words[v] for v in vote] for i, vote in enumerate(votes)}
    return found({name: [1.0, 2.0, 3.0, 4.0] for name in decisions}, decisions)


def test_more_than_half_must_disagree():
    assert voted("ggdd", "ggdd") == []
    assert voted("dgdd", "ggdd") == []  # one of two
    one = voted("dgdd", "dgdd", "ggdd")[0]
    assert (one.path, one.suggested, one.against, one.asked) == ("a", "defect", ["m0", "m1"], 3)


def test_no_vote_without_a_decision():
    assert [one.path for one in voted("dgdd", "rgdd", "-gdd")] == ["a"]
    assert voted("rrrr", "----") == []


def test_the_most_disputed_come_first_then_the_most_surprising():
    assert [one.path for one in voted("ddgg", "ddgg", "gdgg")] == ["b", "c", "d", "a"]


def test_a_missed_defect_is_suggested_good():
    assert voted("gggd")[0].suggested == "good"


def test_surprise_is_the_share_of_images_on_the_wrong_side():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, 30).astype(float)
    labels = np.where(rng.random(30) < 0.5, "good", "crack")
    for index, value in enumerate(label_surprise(scores, labels)):
        others = np.delete(scores, index)
        below = (others < scores[index]).mean() + (others == scores[index]).mean() / 2
        assert value == pytest.approx(below if labels[index] == "good" else 1 - below)


def test_the_scale_of_an_algorithm_does_not_matter():
    decisions = {"m": ["defect"] * 2 + ["good"] * 2}
    small = found({"m": [0.1, 0.2, 0.3, 0.4]}, decisions)
    assert small == found({"m": [1e3, 1e5, 1e6, 1e9]}, decisions)


@pytest.mark.parametrize("decisions", [{"m": ["good"]}, {"other": ["good"] * 4}])
def test_what_does_not_fit_is_refused(decisions):
    with pytest.raises(DataError, match="give one of each"):
        found({"m": [1.0, 2.0, 3.0, 4.0]}, decisions)
