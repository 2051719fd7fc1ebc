"""Where marks go: values to places, fronts, labels that stay apart."""

from pathlib import Path

import pytest

from tasks.documents.metrics import GateMetrics, Metrics
from tasks.reporting.axes import Axis, decades, round_steps
from tasks.reporting.data import distribution_shift, duplicate_pair
from tasks.reporting.pareto import overlap, pareto_front, pareto_points, release_trend, step_path
from tasks.reporting.view import ModelView
from tasks.store.releases import Release


def model(name: str, ms: float, auroc: float, low: float, high: float) -> ModelView:
    metrics = Metrics(ms_per_image=ms, image_auroc=auroc)
    return ModelView("p", name, name, metrics=metrics, intervals={"image_auroc": [low, high]})


MODELS = [
    model("slow_and_best", 100, 0.99, 0.97, 1.0),
    model("fast", 10, 0.9, 0.85, 0.95),
    model("beaten", 50, 0.88, 0.8, 0.93),
    model("between", 40, 0.95, 0.9, 0.98),
]


def test_ticks_are_round_and_within() -> None:
    assert round_steps(0.93, 1.0) == pytest.approx([0.94, 0.96, 0.98, 1.0])
    assert decades(8, 120) == pytest.approx([10, 20, 50, 100])
    assert [text for _, text in Axis(0.93, 1, 100).ticks()] == ["0.94", "0.96", "0.98", "1"]
    assert Axis(10, 1000, 200, log=True).at(100) == 100
    assert len(Axis(300, 400, 200, log=True).ticks()) >= 2  # no decade lies within


def test_the_front_is_what_nothing_faster_is_as_good_as() -> None:
    known = [(m, m.metrics.ms_per_image or 0.0, m.metrics.image_auroc or 0.0) for m in MODELS]
    assert pareto_points(known) == [(10, 0.9), (40, 0.95), (100, 0.99)]
    assert step_path([(1, 9), (3, 5)], 8) == "M1 9H3V5H8"


def test_the_front_draws_every_model_with_its_interval() -> None:
    drawn = pareto_front(MODELS)
    assert drawn is not None and len(drawn["dots"]) == 4
    assert all(0 <= dot["top"] <= dot["y"] <= dot["bottom"] <= 220 for dot in drawn["dots"])
    assert [dot["label"] for dot in drawn["dots"]] == [
        *("slow_and_best", "between", "fast", "beaten")
    ]
    assert pareto_front([ModelView("p", "x", "x")]) is None


def test_labels_of_equal_rivals_do_not_cover_each_other() -> None:
    drawn = pareto_front([model(f"rival_{n}", 10 + n / 10, 0.9, 0.8, 0.95) for n in range(8)])
    assert drawn is not None
    boxes = []
    for dot in drawn["dots"]:
        width = 6.2 * len(dot["label"])
        left = dot["x"] + dot["dx"] - width * {"start": 0, "middle": 0.5, "end": 1}[dot["anchor"]]
        boxes += [(left, dot["y"] + dot["dy"] - 10, left + width, dot["y"] + dot["dy"] + 2)]
    shown = [box for box, dot in zip(boxes, drawn["dots"], strict=True) if dot["label"]]
    dots = [(dot["x"] - 5, dot["y"] - 5, dot["x"] + 5, dot["y"] + 5) for dot in drawn["dots"]]
    assert not any(overlap(box, dot) for box in shown for dot in dots)
    pairs = [(a, b) for i, a in enumerate(shown) for b in shown[:i]]
    assert shown and not any(overlap(a, b) for a, b in pairs)


def test_a_trend_begins_with_the_second_release() -> None:
    releases = [
        Release(str(n), "padim", "2026", False, 1, GateMetrics(image_auroc=value, intervals={}))
        for n, value in enumerate((0.9, None, 0.95))
    ]
    assert release_trend(releases[:2]) is None
    drawn = release_trend(releases)
    assert drawn is not None and [dot["release"].id for dot in drawn["dots"]] == ["0", "2"]
    assert drawn["dots"][0]["y"] > drawn["dots"][1]["y"]  # better is higher up


def test_a_shift_in_brightness_is_told_from_chance(tmp_path: Path) -> None:
    def rows(split: str, base: float) -> list[dict[str, str]]:
        facts = {"split": split, "label": "good"}
        return [{**facts, "brightness": str(base + n / 1000)} for n in range(40)]

    same = distribution_shift("brightness", rows("train", 0.5) + rows("test", 0.5))
    moved = distribution_shift("brightness", rows("train", 0.5) + rows("test", 0.7))
    assert same["certain"] == 0 and moved["certain"] > 0.5 and moved["distance"] == 1
    assert (
        distribution_shift("brightness", rows("train", 0.5) + rows("test", 0.5)[:3])["certain"]
        is None
    )


def test_findings_about_twins_become_pairs() -> None:
    found = {"check": "near_duplicate", "file": "test/good/1.png"}
    reason = "shows nearly the same picture as train/good/2.png"
    pair = {"path": "test/good/1.png", "other": "train/good/2.png", "same": False}
    assert duplicate_pair(found | {"reason": reason}) == pair
    assert duplicate_pair(found | {"reason": "and 7 more images of this kind"}) is None
    assert duplicate_pair({"check": "size", "file": "a.png", "reason": "too small"}) is None
