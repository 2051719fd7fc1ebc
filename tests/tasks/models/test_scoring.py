"""Batches are made ahead of their use, and nothing else about them changes; the time of an image is
the one that other processes disturb least."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.models import scoring
from tasks.models.scoring import BATCH, ahead, inspected, measure_latency


def test_what_is_made_ahead_comes_in_order():
    assert list(ahead(range(1, 20))) == list(range(1, 20))
    assert list(ahead([])) == []


def test_the_next_is_made_while_one_is_used():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    for item in ahead(items()):
        assert made.wait(5), item


def test_an_error_comes_where_its_item_would():
    def items():
        yield 1
        raise ValueError("broken")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="broken"):
        next(found)


@pytest.mark.parametrize("most", [0, scoring.AHEAD])
def test_each_image_is_inspected_with_its_row(tmp_path, monkeypatch, most):
    monkeypatch.setattr(scoring, "AHEAD", most)
    rows = [{"path": f"{number}.png"} for number in range(2 * BATCH + 3)]
    for number, row in enumerate(rows):
        Image.new("L", (4, 4), number).save(tmp_path / row["path"])
    brightness = SimpleNamespace(inspect_all=lambda batch: [float(one.mean()) for one in batch])
    found = list(inspected(brightness, tmp_path, rows))
    assert [len(part) for part, _, _ in found] == [BATCH, BATCH, 3]
    assert [row for part, _, _ in found for row in part] == rows
    seen = [value for _, _, values in found for value in values]
    np.testing.assert_allclose(seen, np.arange(len(rows)) / 255, atol=1e-6)
    assert list(inspected(brightness, tmp_path, [])) == []


class Inspector:
    def inspect(self, image):
        pass


def latency(monkeypatch, tmp_path, *taken):
    """The figures where inspections take these milliseconds, one after another, of as many images
    as `taken` begins with until one is timed again; and how many were timed."""
    count, times = taken[0], iter(taken[1:])
    monkeypatch.setattr(scoring, "_read_some", lambda paths: list(range(len(paths))))
    monkeypatch.setattr(scoring, "_milliseconds", lambda inspector, image: next(times))
    found = measure_latency(Inspector(), tmp_path, [f"{n}.png" for n in range(count)])
    return found, len(taken) - 1 - len(list(times))


def test_without_a_disturbance_one_image_is_timed_twice(monkeypatch, tmp_path):
    found, timed = latency(monkeypatch, tmp_path, 3, 20, 21, 20.5, 20)
    assert found["ms_per_image"] == 20.5 and timed == 4


def test_an_image_that_took_longer_is_timed_again(monkeypatch, tmp_path):
    found, timed = latency(monkeypatch, tmp_path, 3, 20, 45, 21, 20, 20.5)
    assert found["ms_per_image"] == 20.5 and timed == 5


def test_a_disturbance_of_all_is_noticed(monkeypatch, tmp_path):
    found, timed = latency(monkeypatch, tmp_path, 3, 40, 41, 42, 20, 21, 22)
    assert found["ms_per_image"] == 21 and timed == 6


def test_slow_images_are_not_timed_again(monkeypatch, tmp_path):
    found, timed = latency(monkeypatch, tmp_path, 2, 3000, 5000)
    assert found["ms_per_image"] == 4000 and timed == 2


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_or_none(monkeypatch, tmp_path, count):
    found, _ = latency(monkeypatch, tmp_path, count, *[20] * 2 * count)
    assert found["ms_per_image"] == (20 if count else None)
