"""Who is left out with whom."""

from pathlib import Path

import pytest

from tasks.decisions.split import (
    consecutive_fold_numbers,
    consecutive_held_out,
    fold_numbers,
    held_out,
)
from tasks.spec.read import check
from tasks.spec.schema import Product
from tasks.workspace.errors import SpecError

NAMES = [f"exp{number % 3}_num_{number}" for number in (10, 9, 100, 8, 11, 7)]  # in no order
NUMBER = r"_(\d+)$"


def test_consecutive_parts_are_stretches_by_number():
    assert consecutive_fold_numbers(NAMES, NUMBER, 3) == [1, 1, 2, 0, 2, 0]
    assert consecutive_fold_numbers(NAMES, NUMBER, 6) == [3, 2, 5, 1, 4, 0]
    assert consecutive_fold_numbers(["b_1", "a_2", "b_2", "a_1"], ".*", 2) == [1, 0, 1, 0]


@pytest.mark.parametrize(("count", "total"), [(4, 10), (3, 4), (5, 5), (2, 7)])
def test_parts_are_equal_but_for_one(count, total):
    for parts in (
        consecutive_fold_numbers([str(n) for n in range(total)], ".*", count),
        fold_numbers([f"{n:064x}" for n in range(total)], count),
    ):
        sizes = [parts.count(part) for part in range(count)]
        assert sum(sizes) == total and max(sizes) - min(sizes) <= 1


def test_the_last_by_name_are_held_out():
    assert consecutive_held_out(NAMES, NUMBER, 0.34) == [False, False, True, False, True, False]
    assert consecutive_held_out(NAMES, NUMBER, 0.01).count(True) == 1
    assert consecutive_held_out(["only"], ".*", 0.5) == held_out(["ab" * 32], 0.5) == [False]


def test_names_of_any_shape_can_be_ordered():
    assert sorted(consecutive_fold_numbers(["a", "1", "a1b", "001", ""], ".*", 5)) == [
        0,
        1,
        2,
        3,
        4,
    ]


def test_a_name_without_an_order_is_named():
    with pytest.raises(SpecError, match="finds nothing in the name cap"):
        consecutive_fold_numbers(["a_1", "cap"], NUMBER, 2)
    with pytest.raises(SpecError, match="no regular expression"):
        check(Product, {"training": {"order": "(a"}}, Path("product.yaml"))
