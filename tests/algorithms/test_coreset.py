"""Greedy k-center and the projection before it, each against an independent formula."""

import ast
import itertools
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ad_models import coreset, coreset_rounds
from ad_models.coreset import cover, greedy, project
from ad_models.coreset_kernel import compiled


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


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


@pytest.fixture
def three_threads(monkeypatch):
    monkeypatch.setattr(coreset, "SHARE", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def test_greedy_covers_within_twice_the_optimum():
    points = random(11, 2)
    best = min(radius(points, list(c)) for c in itertools.combinations(range(11), 3))
    assert radius(points, greedy(points, 3)) <= 2 * best + 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_greedy_equals_the_plain_algorithm(dtype):
    points = random(2000, 37).to(dtype) + 50  # 37: no multiple of a vector's width
    chosen = greedy(points, 300).tolist()
    assert chosen == plain(points, 300, chosen[0])


def test_greedy_gives_ties_to_the_lowest_index_with_any_number_of_threads(request):
    points = random(500, 3).mul(2).round()  # a coarse grid: ties and equal points everywhere
    one = greedy(points, 500).tolist()
    request.getfixturevalue("three_threads")
    assert one == greedy(points, 500).tolist() == plain(points, 500, one[0])
    assert len(one) == len(points.unique(dim=0))


def test_greedy_stops_where_points_repeat():
    points = random(5, 3).repeat(4, 1)
    assert len(greedy(points, 20)) == 5
    assert sorted(greedy(random(6, 3), 6).tolist()) == list(range(6))


def test_greedy_tells_apart_what_float32_squares_cannot():
    points = torch.tensor([[1000.0, 0], [1000.0, 1e-3], [1000.0, 3e-3]])
    assert sorted(greedy(points, 3).tolist()) == [0, 1, 2]


def test_greedy_takes_rows_that_are_not_finite_once():
    points = random(30, 4)
    points[7], points[9, 2] = torch.nan, torch.inf
    assert sorted(greedy(points, 30).tolist()) == list(range(30))


def test_greedy_ignores_scale_and_layout():
    points = random(200, 16)
    expected = greedy(points, 15)
    assert torch.equal(expected, greedy(points * 1024, 15))
    assert torch.equal(expected, greedy(points.T.contiguous().T, 15))
    assert torch.equal(expected, greedy(points.clone().requires_grad_(), 15))


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.3, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_left_unread_changes_nothing(spread, dtype):
    points = (5 * random(30, 8)).repeat(40, 1) + spread * random(1200, 8)
    points = points.to(dtype)
    found = greedy(points, 400)
    assert found.tolist() == plain(points, 400, int(found[0]))


def test_a_row_that_cannot_be_nearer_is_not_read():
    apart_of, sweep = compiled("float64")
    x = np.array([[0.0], [1.0], [9.0], [4.0]])  # centres 0 and 9; 1 belongs to 0, 4 too
    nearest, owner = np.array([0.0, 1.0, np.inf, 16.0]), np.array([1, 1, 0, 1], np.int32)
    apart = np.zeros(3)
    apart_of(x, np.array([0]), 2, apart)
    assert apart.tolist() == [0, 81, 0]
    x[1] = 9  # 81 is beyond 4 * 1, and beyond 4 * 16: neither is looked at
    assert sweep(x, 2, nearest, owner, apart, 2, 0, 4) == (3, 16)
    assert nearest.tolist() == [0, 1, 0, 16] and owner.tolist() == [1, 1, 2, 1]
    x[3], nearest[3] = 8, 4.6**2  # 81 is not beyond 4 times that
    sweep(x, 2, nearest, owner, apart, 2, 0, 4)
    assert nearest[3] == 1 and owner[3] == 2


@pytest.mark.parametrize("value", [torch.inf, torch.nan])
def test_a_first_centre_that_is_not_finite_keeps_no_row_from_the_others(value):
    points = random(200, 4)
    first = int(greedy(points, 1))
    points[first] = value
    chosen = greedy(points, 30)
    rest = [at for at in range(200) if at != first]
    expected = plain(points[rest], 29, rest.index(int(chosen[1])))
    assert [rest.index(at) for at in chosen[1:].tolist()] == expected


def test_the_steps_of_other_devices_choose_the_same(monkeypatch):
    points = random(500, 16)
    expected = greedy(points, 60)
    monkeypatch.setattr(coreset, "_fused", lambda x, count: coreset._expanded(x))
    assert torch.equal(expected, greedy(points, 60))
    assert len(greedy(points[:5].repeat(4, 1), 20)) == 5


@pytest.mark.parametrize("candidates", [8, 100, 5000])
def test_rounds_choose_what_the_plain_algorithm_does(monkeypatch, candidates):
    monkeypatch.setattr(coreset_rounds, "CANDIDATES", candidates)
    monkeypatch.setattr(coreset_rounds, "TABLE", 999)  # several parts
    points = random(3000, 24)
    exact, fast = cover(points, 200), cover(points, 200, fast=True)
    assert torch.equal(exact.indices, fast.indices)
    assert fast.radius == pytest.approx(exact.radius, rel=1e-4)


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


@pytest.mark.parametrize("way", ["rounds", "steps of other devices"])
def test_no_second_copy_of_the_points_is_made(monkeypatch, way):
    monkeypatch.setattr(coreset_rounds, "TABLE", 2000)
    monkeypatch.setattr(coreset_rounds, "CANDIDATES", 32)
    monkeypatch.setattr(coreset, "_steps", lambda x, count: coreset._expanded(x))
    points = random(2000, 64)
    with Largest(points) as largest:
        cover(points, 40, fast=way == "rounds")
    assert largest.numbers <= 40 * 64 < len(points) * 64


def test_rounds_stop_where_points_repeat_and_report_progress():
    points = random(5, 3).repeat(4, 1)
    assert len(cover(points, 20, fast=True).indices) == 5
    assert sorted(cover(random(6, 3), 6, fast=True).indices.tolist()) == list(range(6))
    ticks = []
    cover(random(100, 8), 20, tick=lambda *at: ticks.append(at), fast=True)
    assert ticks[0] == (0, 20) and ticks[-1] == (20, 20)


@pytest.mark.gpu
def test_greedy_on_a_gpu_chooses_the_same():
    points = random(5000, 128)
    assert torch.equal(greedy(points, 200), greedy(points.cuda(), 200))


def test_greedy_ticks_and_stops_where_tick_raises(monkeypatch, three_threads):
    monkeypatch.setattr(coreset, "TICK", 0)
    ticks = []

    def tick(done, total):
        ticks.append((done, total))
        if done == 4:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        greedy(random(100, 8), 20, tick=tick)
    assert ticks == [(0, 20), *((done, 20) for done in range(5))]
    greedy(random(100, 8), 3, tick=lambda *at: ticks.append(at))
    assert ticks[-1] == (3, 3)


def two_at_once(points: np.ndarray) -> list[list[int]]:
    coreset.SHARE = 1
    torch.set_num_threads(2)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda x: greedy(x, 50).tolist(), [torch.from_numpy(points)] * 2))


def test_greedy_runs_in_two_threads_of_a_child_process():
    points = random(400, 8)
    expected = greedy(points, 50).tolist()
    with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as pool:
        assert pool.submit(two_at_once, points.numpy()).result() == [expected, expected]


def test_the_compiler_is_loaded_only_when_it_is_used():
    for path in Path(coreset.__file__).parent.rglob("*.py"):
        if path.name != "coreset_kernel.py":
            outside = [node for node in ast.parse(path.read_text()).body if hasattr(node, "names")]
            names = " ".join(map(ast.unparse, outside))
            assert "coreset_kernel" not in names and "numba" not in names, path


def test_projection_keeps_distances():
    points = random(100, 1000)
    ratio = torch.pdist(project(points, 200, seed=0)) / torch.pdist(points)
    assert ratio.mean() == pytest.approx(1, abs=0.02)
    assert project(points, 2000, seed=0) is points
