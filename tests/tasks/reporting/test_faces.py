"""The three pictures that stand for a model."""

from __future__ import annotations

import pytest

from tasks.reporting.faces import faces
from tasks.reporting.view import ModelView, Row

GOOD = [Row(f"test/good/{n}.png", "good", float(n), "good") for n in (3, 1, 2)]
CAUGHT = [Row("crack/1", "crack", 8.0, "defect"), Row("crack/2", "crack", 5.0, "review")]
MISSED = [Row("hole/1", "hole", 2.5, "good"), Row("hole/2", "hole", 1.5, "good")]


def shown(*rows: Row) -> list[tuple[str, str, bool]]:
    found = faces(ModelView("cap", "padim", "padim", rows=list(rows)))
    return [(one.title, one.row.path, one.wrong) for one in found]


def test_a_usual_part_the_worst_that_was_found_and_the_worst_that_was_missed():
    assert shown(*GOOD, *CAUGHT, *MISSED) == [
        ("a good part", "test/good/2.png", False),
        ("the worst defect found", "crack/1", False),
        ("the worst defect missed", "hole/2", True),
    ]


def test_where_nothing_is_missed_the_nearest_stands_there():
    assert shown(*GOOD, *CAUGHT)[-1] == ("the defect nearest to being missed", "crack/2", False)


@pytest.mark.parametrize("rows", [[], GOOD, CAUGHT[:1], MISSED])
def test_what_there_is_none_of_is_left_out(rows: list[Row]):
    assert len(shown(*rows)) == min(1, len(rows))
