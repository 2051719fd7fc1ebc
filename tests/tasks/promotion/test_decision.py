"""Which cell of a product challenges the champion."""

from tasks.documents.metrics import GateMetrics, Metrics
from tasks.promotion.decision import FLOORS, checks, missing_gates, objections, rank
from tasks.spec.schema import Gates


def cell(name, auroc=None, aupro=None, ms=None):
    return Metrics(algorithm=name, image_auroc=auroc, aupro_30=aupro, ms_per_image=ms)


def best(*cells):
    return max(cells, key=rank).algorithm


def test_figures_go_before_speed():
    assert best(cell("a", 0.9, 0.8, 1.0), cell("b", 0.95, 0.1, 9.0)) == "b"
    assert best(cell("a", 0.9, 0.8, 1.0), cell("b", 0.9, 0.9, 9.0)) == "b"
    assert best(cell("a", 0.9, 0.8, 9.0), cell("b", 0.9, 0.8, 1.0)) == "b"
    assert best(cell("a", 0.9, None, 9.0), cell("b", 0.9, None, 1.0)) == "b"


def test_without_defects_the_first_goes_before_whatever_the_clock_says():
    assert best(cell("a", ms=9.0), cell("b", ms=1.0)) == "a"
    assert best(cell("a"), cell("b", ms=1.0)) == "a"


def decided(name, cost, auroc=0.9):
    return Metrics(algorithm=name, image_auroc=auroc, miss=0.1, cost=cost)


def test_the_cost_of_decisions_goes_before_the_ranking():
    assert best(decided("a", 0.5, 0.99), decided("b", 0.1, 0.9)) == "b"
    assert best(decided("a", 0.1, 0.9), decided("b", 0.1, 0.99)) == "b"
    assert best(cell("a", 0.99), decided("b", 9.0)) == "b"  # one that decides goes first


def test_a_cell_that_misses_most_of_its_defects_is_not_accepted_and_no_defects_are_no_reason():
    gates = Gates(image_auroc=None)
    missing = Metrics(threshold=1.0, miss=0.6, overkill=0.0)
    [why] = objections(GateMetrics(**missing.dump()), gates)
    assert why == "miss is 0.6, above the limit of 0.5"
    assert objections(GateMetrics(threshold=1.0), gates) == []
    [check] = checks(GateMetrics(threshold=1.0), gates, FLOORS)
    assert (check.name, check.value, check.passed) == ("miss", None, True)


def test_a_spec_without_gates_is_reminded_once_there_are_defects():
    known = Metrics(image_auroc=0.9, miss=0.1)
    assert "set gates.image_auroc" in missing_gates(Gates(image_auroc=None), known)[0]
    assert missing_gates(Gates(), known) == []
    assert missing_gates(Gates(image_auroc=None), Metrics()) == []
