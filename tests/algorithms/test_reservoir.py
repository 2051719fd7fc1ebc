"""A coreset of a stream: the plain one where memory is enough, a certified one where not."""

from dataclasses import replace

import pytest
import torch

from ad_models.coreset import cover, project
from ad_models.errors import InputError
from ad_models.reservoir import Plan, Reservoir, plan

CPU = torch.device("cpu")
DIMS, NARROW = 40, 16
ROWS = torch.randn(600, DIMS, generator=torch.Generator().manual_seed(0))


def gathered(way: Plan, rows=ROWS) -> Reservoir:
    reservoir = Reservoir(way, seed=3, device=CPU)
    for part in rows.split(50):
        reservoir.add(part)
    return reservoir


def planned(room: int, **more) -> Plan:
    return plan(20, len(ROWS), DIMS, NARROW, room, **more)


def radius(bank: torch.Tensor) -> float:
    """Of all rows, in the projection."""
    distances = torch.cdist(project(ROWS, NARROW, 3), project(bank, NARROW, 3))
    return float(distances.min(1).values.max())


@pytest.mark.parametrize("narrow", [NARROW, DIMS])
def test_one_stage_is_the_plain_coreset_in_memory_and_on_disk(narrow, tmp_path):
    expected = ROWS[cover(project(ROWS, narrow, 3), 20, 3).indices]
    memory = plan(20, len(ROWS), DIMS, narrow, 10**9)
    assert memory.stages == 1 and memory.folder is None
    for way in (memory, replace(memory, folder=tmp_path)):
        bank, covered = gathered(way).coreset(20)
        assert torch.equal(bank, expected)
        if narrow == NARROW:
            assert covered == pytest.approx(radius(bank), rel=1e-5)


def test_rows_wait_on_disk_where_only_their_projections_fit(tmp_path):
    room = planned(10**9).bytes - 1
    on_disk = planned(room, disk=(tmp_path, 10**9))
    assert (on_disk.stages, on_disk.folder) == (1, tmp_path) and on_disk.bytes <= room
    assert planned(room, disk=(tmp_path, 4 * ROWS.numel() - 1)).stages == 2
    assert planned(room).stages == 2


def test_two_stages_stay_within_their_certificate_and_near_one():
    way = planned(planned(10**9).bytes // 2)
    reservoir = gathered(way)
    assert way.stages == 2 and reservoir.held <= way.capacity < len(ROWS)
    bank, covered = reservoir.coreset(20)
    one = gathered(planned(10**9)).coreset(20)[1]
    assert len(bank) == 20 and all((row == ROWS).all(1).any() for row in bank)
    assert radius(bank) <= covered + 1e-4 <= 4 * one  # twice, twice
    assert radius(bank) <= 1.2 * one


def test_more_rows_than_announced_are_thinned_and_still_covered():
    way = Plan(20, 100, DIMS, NARROW, 100)
    reservoir = gathered(way)
    assert reservoir.held <= 100 and reservoir.seen == 600 and reservoir.share < 1
    bank, covered = reservoir.coreset(20)
    assert radius(bank) <= covered + 1e-4


@pytest.mark.parametrize("part", [1, 7, 600])
def test_parts_of_any_size_fit_a_small_reservoir(part):
    reservoir = Reservoir(Plan(3, 5, DIMS, NARROW, 5), 3, CPU)
    for rows in ROWS.split(part):
        reservoir.add(rows)
    bank, covered = reservoir.coreset(3)
    assert radius(bank) <= covered + 1e-4


def test_much_work_is_done_in_two_stages_unless_forbidden():
    much = {"count": 65536, "total": 200 * 16384, "dims": 384, "projected": 128}
    assert plan(**much, room=10**12).stages == 2
    assert plan(**much, room=10**12, two_stage=False).stages == 1
    assert planned(10**9, two_stage=True).stages == 2


@pytest.mark.parametrize(("more", "remedy"), [({}, "bank_size"), ({"two_stage": False}, "two_st")])
def test_what_cannot_fit_is_refused_with_a_number_that_does(more, remedy):
    with pytest.raises(InputError, match=remedy) as error:
        planned(5000, **more)
    assert "memory_budget" in str(error.value)
    if not more:
        fitting = int(str(error.value).split("keep at most ")[1].split()[0])
        assert plan(fitting, len(ROWS), DIMS, NARROW, 5000).bytes <= 5000


def test_the_plan_counts_the_bytes_that_are_held():
    way = planned(10**9)
    reservoir = gathered(way)
    held = reservoir.narrow.nbytes + reservoir.rows.rows.nbytes  # and 24 bytes a row in greedy
    assert way.bytes == held + 24 * len(ROWS) + 4 * 20 * DIMS
