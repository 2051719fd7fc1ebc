"""Paired tests against DeLong's double sums, scipy, sums of binomials, and simulation."""

from math import comb

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tasks.metrics.comparison import (
    compare_auroc,
    compare_costs,
    compare_decisions,
    delong,
    mcnemar,
    two_sided,
)
from tasks.metrics.intervals import draw_resamples
from tasks.workspace.errors import DataError


def pair(seed: int, gain: float = 0.0, images: int = 80) -> tuple[np.ndarray, ...]:
    """Scores of two models that agree to a part, the first better by `gain`, and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % 5 < 2
    shared = random.standard_normal(images) + labels
    first, second = shared + random.standard_normal((2, images)) * 0.7
    return np.round(first + gain * labels, 1), np.round(second, 1), labels


@pytest.mark.parametrize("seed", range(5))
def test_delong_equals_its_definition(seed: int) -> None:
    first, second, labels = pair(seed)
    kernels = []
    for scores in (first, second):
        bad, good = scores[labels], scores[~labels]
        kernels.append((bad[:, None] > good) + 0.5 * (bad[:, None] == good))  # psi (m, n)
    theta = [kernel.mean() for kernel in kernels]
    m, n = kernels[0].shape
    v10 = [[kernels[r][i].mean() for i in range(m)] for r in range(2)]  # equation 4
    v01 = [[kernels[r][:, j].mean() for j in range(n)] for r in range(2)]
    s10, s01 = np.zeros((2, 2)), np.zeros((2, 2))
    for r in range(2):
        for s in range(2):
            s10[r, s] = sum((v10[r][i] - theta[r]) * (v10[s][i] - theta[s]) for i in range(m))
            s01[r, s] = sum((v01[r][j] - theta[r]) * (v01[s][j] - theta[s]) for j in range(n))
    covariance = s10 / (m - 1) / m + s01 / (n - 1) / n
    contrast = np.array([1, -1])
    variance = contrast @ covariance @ contrast
    found = delong((first[labels], first[~labels]), (second[labels], second[~labels]))
    assert found == pytest.approx((theta[0] - theta[1], variance), abs=1e-14)
    z = (theta[0] - theta[1]) / variance**0.5
    comparison = compare_auroc(first, second, labels, resamples=10)
    assert comparison is not None
    assert comparison.p_value == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


def test_both_models_get_the_same_resamples() -> None:
    first, second, labels = pair(6)
    kinds = np.flatnonzero(~labels), np.flatnonzero(labels)
    drawn = np.concatenate(list(draw_resamples(kinds, 150, 9)))
    differences = []
    for times in drawn:
        at = np.repeat(np.arange(labels.size), times.astype(int))
        ours, theirs = (roc_auc_score(labels[at], scores[at]) for scores in (first, second))
        differences.append(ours - theirs)
    found = compare_auroc(first, second, labels, resamples=150, seed=9)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(np.quantile(differences, (0.025, 0.975)))
    assert found.difference == pytest.approx(
        roc_auc_score(labels, first) - roc_auc_score(labels, second)
    )


def test_better_and_not_worse() -> None:
    gain = compare_auroc(*pair(1, gain=2))
    loss = compare_auroc(*pair(1, gain=-2))
    none = compare_auroc(*pair(1))
    assert gain and loss and none
    assert gain.better and gain.not_worse(0) and (gain.p_value or 1) < 0.01
    assert not loss.better and not loss.not_worse(0.01)
    assert not none.better and not none.not_worse(0) and none.not_worse(0.3)


def test_a_model_against_itself() -> None:
    scores, _, labels = pair(2)
    same = compare_auroc(scores, scores, labels)
    assert same is not None and same == (0, 0, 0, 1)
    assert not same.better and same.not_worse(0)


def test_no_difference_is_found_as_seldom_as_the_level_says() -> None:
    trials = [compare_auroc(*pair(seed), resamples=300, seed=seed) for seed in range(200)]
    apart = sum(trial.low > 0 or trial.high < 0 for trial in trials if trial and trial.low)
    small = sum((trial.p_value or 1) < 0.05 for trial in trials if trial)
    assert 2 <= apart <= 20 and 2 <= small <= 20


def test_undefined_comparisons() -> None:
    assert compare_auroc([1, 2], [2, 1], [1, 1]) is None
    few = compare_auroc([1, 2, 3], [3, 1, 2], [0, 0, 1])
    assert few and few.low is None and not few.better and not few.not_worse(1)
    perfect = compare_auroc([0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1])
    assert perfect and perfect.difference == 0.5 and perfect.p_value is None and perfect.better
    assert two_sided(0, 0) == 1
    with pytest.raises(DataError, match="one of each an image"):
        compare_auroc([1, 2], [1, 2, 3], [0, 1])


@pytest.mark.parametrize(("mine", "theirs"), [(0, 0), (0, 6), (3, 9), (5, 5), (11, 2)])
def test_mcnemar_equals_the_sum_of_binomials(mine: int, theirs: int) -> None:
    n = mine + theirs
    tail = sum(comb(n, k) for k in range(min(mine, theirs) + 1)) / 2**n
    assert mcnemar(mine, theirs).p_value == pytest.approx(min(1, 2 * tail))
    if n:
        assert mcnemar(mine, theirs).p_value == pytest.approx(stats.binomtest(mine, n).pvalue)


def test_decisions_are_compared_on_each_kind() -> None:
    labels = [1, 1, 1, 1, 0, 0, 0]
    found = compare_decisions([1, 0, 0, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0, 0], labels)
    assert found["miss"][:2] == (2, 1) and found["overkill"][:2] == (1, 0)
    with pytest.raises(DataError, match=r"\(2,\) and \(3,\)"):
        compare_decisions([1, 0], [1, 0, 1], [1, 0])


def test_the_difference_of_costs_is_that_of_wrong_decisions():
    defective = np.array([1, 1, 1, 1, 0, 0, 0, 0, 0, 0], bool)
    mine = np.array([1, 0, 0, 0, 1, 1, 0, 0, 0, 0])
    theirs = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 0])
    found = compare_costs(mine, theirs, defective, (1.0, 0.95))
    assert found.difference == pytest.approx(-2 / 4 + 0.95 * 2 / 6)
    assert found.low < found.difference < found.high
    assert not found.better and not found.worse
    same = compare_costs(mine, mine, defective, (1.0, 0.95))
    assert tuple(same) == (0, 0, 0)
    assert compare_costs(mine[4:], theirs[4:], defective[4:], (1.0, 0.95)) is None


@pytest.mark.parametrize(("share", "verdict"), [(0.1, "better"), (0.9, "worse")])
def test_many_decisions_leave_no_doubt_which_costs_more(share, verdict):
    rng = np.random.default_rng(0)
    defective = np.arange(400) < 200
    mine, theirs = rng.random(400) < share, rng.random(400) < 0.5
    assert getattr(compare_costs(mine, theirs, defective, (1.0, 1.0)), verdict)
