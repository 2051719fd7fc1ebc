"""Greedy k-center and the projection before it, each against an independent formula."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ad_models import coreset
from ad_models.coreset import cover, pace, project
from ad_models.errors import InputError


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def chosen_of(points: torch.Tensor, count: int, seed: int = 0) -> list[int]:
    return cover(points, count, seed).indices.tolist()


def radius(points: torch.Tensor, chosen) -> float:
    return float(torch.cdist(points, points[chosen]).min(1).values.max())


def plain(points: torch.Tensor, count: int, start: int) -> list[int]:
    """The algorithm in float64, which stops where all points are taken."""
    x, chosen = points.double().numpy(), [start]
    nearest = np.square(x - x[start]).sum(1)
    while len(chosen) < count and nearest.max() > 0:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.square(x - x[chosen[-1]]).sum(1))
    return chosen


def test_it_covers_within_twice_the_optimum():
    points = random(11, 2)
    best = min(radius(points, list(c)) for c in itertools.combinations(range(11), 3))
    assert radius(points, chosen_of(points, 3)) <= 2 * best + 1e-6


@pytest.mark.parametrize("candidates", [8, 100, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_equals_the_plain_algorithm(monkeypatch, dtype, candidates):
    monkeypatch.setattr(coreset, "CANDIDATES", candidates)
    monkeypatch.setattr(coreset, "TABLE", 999)  # several parts
    points = random(3000, 37).to(dtype) + 5
    found = cover(points, 200)
    assert found.indices.tolist() == plain(points, 200, int(found.indices[0]))
    assert found.radius == pytest.approx(radius(points, found.indices), rel=1e-4)


@pytest.mark.parametrize("spread", [0.01, 0.3, 3.0])
def test_it_equals_the_plain_algorithm_where_points_lie_in_clusters(spread):
    points = (5 * random(30, 8)).repeat(40, 1) + spread * random(1200, 8)
    found = chosen_of(points.double(), 400)
    assert found == plain(points, 400, found[0])


def test_it_stops_where_points_repeat():
    points = random(5, 3).repeat(4, 1)
    assert len(chosen_of(points, 20)) == 5
    assert sorted(chosen_of(random(6, 3), 6)) == list(range(6))
    assert len(chosen_of(torch.zeros(7, 3), 4)) == 1
    grid = random(500, 3).mul(2).round()  # equal points everywhere
    assert len(chosen_of(grid, 500)) == len(grid.unique(dim=0))


def test_points_that_are_much_closer_than_the_others_count_as_equal():
    points = random(50, 8)
    points = torch.cat([points, points + 1e-5 * random(50, 8)])
    assert len(chosen_of(points, 100)) == 50 and cover(points, 100).radius == 0


@pytest.mark.parametrize("away", [0.0, 1000.0])
def test_neither_a_far_origin_nor_one_row_that_is_far_away_costs_the_others(away):
    points = away + random(2000, 64)
    points[7] += 1e4 * random(64)
    found = cover(points, 60)
    expected = plain(points, 60, int(found.indices[0]))
    assert found.indices.tolist() == expected
    true = float(torch.cdist(points.double(), points[expected].double()).amin(1).max())
    assert found.radius == pytest.approx(true, rel=1e-3)


def test_half_precision_is_computed_in_full():
    points = 30 * random(200, 64)
    assert chosen_of(points.bfloat16(), 9) == chosen_of(points.bfloat16().float(), 9)
    assert len(chosen_of(points.half(), 9)) == 9  # whose squares are too large for it


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_numbers_that_are_not_finite_are_refused(value):
    points = random(30, 4)
    points[7, 2] = points[9] = value
    with pytest.raises(InputError, match="2 of 30 feature vectors"):
        cover(points, 3)


def test_scale_and_layout_change_nothing():
    points = random(200, 16)
    expected = chosen_of(points, 15)
    assert expected == chosen_of(points * 1024, 15)
    assert expected == chosen_of(points.T.contiguous().T, 15)
    assert expected == chosen_of(points.clone().requires_grad_(), 15)


class Largest(TorchDispatchMode):
    """Numbers in the largest tensor that is made, views of `known` aside."""

    def __init__(self, known: torch.Tensor) -> None:
        super().__init__()
        self.known, self.numbers = known.untyped_storage().data_ptr(), 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and made.untyped_storage().data_ptr() != self.known:
            self.numbers = max(self.numbers, made.numel())
        return made


def test_no_second_copy_of_the_points_is_made(monkeypatch):
    monkeypatch.setattr(coreset, "TABLE", 2000)
    monkeypatch.setattr(coreset, "CANDIDATES", 32)
    points = random(2000, 64)
    with Largest(points) as largest:
        cover(points, 40)
    assert largest.numbers <= 40 * 64 < len(points) * 64


@pytest.mark.gpu
def test_a_gpu_chooses_the_same():
    points = random(5000, 128)
    assert chosen_of(points, 200) == chosen_of(points.cuda(), 200)


def test_it_tells_how_far_it_is_and_stops_where_that_raises(monkeypatch):
    monkeypatch.setattr(coreset, "CANDIDATES", 8)
    ticks = []

    def tick(done, total):
        ticks.append((done, total))
        if done >= 10:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cover(random(100, 8), 20, tick=tick)
    assert ticks[0] == (0, 20) and 10 <= ticks[-1][0] < 20
    ticks.clear()
    cover(random(100, 8), 3, tick=lambda *at: ticks.append(at))
    assert ticks[0] == (0, 3) and ticks[-1] == (3, 3)


def test_its_pace_is_a_part_of_a_second():
    assert 0 < pace(16, 1000, torch.device("cpu")) < 1e-3


def test_projection_keeps_distances():
    points = random(100, 1000)
    ratio = torch.pdist(project(points, 200, seed=0)) / torch.pdist(points)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert project(points, 2000, seed=0) is points
