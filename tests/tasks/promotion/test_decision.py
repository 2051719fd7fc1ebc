"""Which cell of a product challenges the champion."""

from tasks.documents.metrics import Metrics
from tasks.promotion.decision import rank


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
