"""Batches are made ahead of their use, and nothing else about them changes."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tasks.models import scoring
from tasks.models.scoring import BATCH, ahead, inspected


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
