"""The time of an image is the one that other processes disturb least."""

import pytest

from tasks.models import scoring
from tasks.models.scoring import measure_latency


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
