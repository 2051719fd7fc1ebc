"""Units go to workers longest first, in batches that shrink, so that all end together."""

import json

import numpy as np
import pytest

from flows.fleet.pace import LEAST, SHORTEST, START, TIMES, UNKNOWN, Pace, batches
from tasks.build.records import Stage
from tasks.workspace.paths import Workspace


def unit(product, algorithm="padim"):
    return [Stage("fit", product, algorithm), Stage("evaluate", product, algorithm)]


def load(parts, seconds):
    return [sum(map(seconds, part)) for part in parts]


@pytest.mark.parametrize("workers", [1, 2, 7, 64])
@pytest.mark.parametrize("number", [1, 5, 200])
def test_every_unit_is_in_one_batch_which_shrink_towards_the_end(workers, number):
    drawn = np.random.default_rng(number).lognormal(5, 1, number)
    units = [unit(f"p{n}") for n in range(number)]
    taken = {str(one): float(time) for one, time in zip(units, drawn, strict=True)}

    def seconds(one):
        return taken[str(one)]

    parts = batches(units, seconds, workers, most=8)
    flat = [one for part in parts for one in part]
    assert sorted(map(str, flat)) == sorted(map(str, units))
    assert [seconds(one) for one in flat] == sorted(taken.values(), reverse=True)
    assert all(1 <= len(part) <= 8 for part in parts)
    if workers > 1 and number == 200:
        alone = [len(part) == 1 or sum(map(seconds, part)) < SHORTEST for part in parts[-workers:]]
        assert all(alone)
        assert max(load(parts[-workers:], seconds)) < max(load(parts[:workers], seconds))


def test_one_worker_gets_as_much_at_once_as_it_may():
    units = [unit(f"p{n}") for n in range(10)]
    assert [len(part) for part in batches(units, lambda _: 1.0, 1, most=8)] == [8, 2]
    assert batches([], lambda _: 1.0, 4, most=8) == []


def test_short_units_go_together_until_they_fill_a_minute():
    units = [unit(f"p{n:03d}") for n in range(360)]
    counts = [len(part) for part in batches(units, lambda _: UNKNOWN, 2, most=24)]
    assert counts[0] == 24 and sum(counts) == 360
    assert min(counts[:-1]) == SHORTEST // (UNKNOWN + START)
    assert counts == sorted(counts, reverse=True)


def test_what_nothing_is_known_of_counts_as_a_short_fit(tmp_path):
    assert Pace(Workspace(tmp_path)).seconds([unit("a")])(unit("a")) == UNKNOWN


def test_workers_that_take_the_next_batch_end_together():
    drawn = np.random.default_rng(3).lognormal(5, 1, 400)
    units = [unit(f"p{n}") for n in range(400)]
    taken = {str(one): float(time) for one, time in zip(units, drawn, strict=True)}
    free = [0.0] * 16
    for part in batches(units, lambda one: taken[str(one)], 16, most=8):
        free[free.index(min(free))] += sum(taken[str(one)] for one in part)
    assert max(free) < 1.1 * max(sum(drawn) / 16, *drawn)


def test_durations_are_those_of_the_models_that_are_there_or_of_their_algorithm(tmp_path):
    workspace = Workspace(tmp_path)
    for product, algorithm, seconds in (("a", "padim", 10.0), ("b", "padim", 30.0)):
        folder = workspace.model(product, algorithm)
        folder.mkdir(parents=True)
        card = {"fit_seconds": seconds, "calibration_seconds": 2.0}
        (folder / "fit.json").write_text(json.dumps(card))
    workspace.model("c", "vae").mkdir(parents=True)
    (workspace.model("c", "vae") / "fit.json").write_text("{")
    units = [unit("a"), unit("b"), unit("new"), unit("c", "vae")]
    pace = Pace(workspace)
    assert [pace.seconds(units)(one) for one in units] == [12.0, 32.0, 22.0, 22.0]
    assert pace.slow(unit("new")) is None and pace.slow(unit("a")) == LEAST
    pace.learn(unit("new"), 500.0)
    assert pace.slow(unit("a")) == pace.slow(unit("new")) == TIMES * 500.0
