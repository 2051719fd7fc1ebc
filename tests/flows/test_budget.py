"""What `auto` leaves out is said, and a change of the budget trains nothing twice."""

import shutil
import subprocess
import sys

import pytest

from flows.line import first_gates, has_champion
from flows.run import choices, run_line, untrainable
from flows.running.plan import make_plan
from tasks.build.graph import sync
from tasks.spec.read import read_product
from tasks.workspace.journal import journals
from tests.flows.conftest import PARAMS, edit, write_params

AUTO = {2: ["fastflow", "padim"]}


def within(workspace, minutes):
    """The product's algorithms, and what a run would do."""
    write_params(workspace.root, auto=AUTO, line={**PARAMS["line"], "budget": minutes})
    edit(workspace, "cap", algorithms="auto")
    stages = make_plan(workspace, ["cap"]).stages
    return list(read_product(workspace.root, "cap").algorithms), stages


def test_a_budget_that_is_lowered_and_raised_trains_nothing(copy):
    assert within(copy, None) == (["fastflow", "padim"], [])
    assert within(copy, 0.01) == (["padim"], [])
    assert within(copy, 10) == (["fastflow", "padim"], [])
    assert sync(copy) == []


def test_a_run_says_once_what_is_left_out_and_fits_cheap_ones_first(copy):
    write_params(copy.root, auto=AUTO, algorithms__padim={"backbone": "drawnet", "dims": 10})
    edit(copy, "cap", algorithms="auto", training={"calibration": 0.4})
    stages = make_plan(copy, ["cap"]).stages
    fits = [stage.algorithm for stage in stages if stage.step == "fit"]
    assert fits == ["padim", "fastflow"]
    (said,) = choices(copy, ["cap", "plate"], stages)
    assert said.startswith("cap: algorithms, chosen for 12 good images: fastflow")
    edit(copy, "cap", budget=0.01)
    sync(copy)
    said = choices(copy, ["cap"], stages)
    assert [line.split(" is left out")[0] for line in said[1:]] == ["cap: fastflow"]
    assert choices(copy, ["cap"], []) == []


def test_a_run_fails_for_a_product_of_which_auto_trains_nothing(copy, prefect, capsys):
    write_params(copy.root, auto={2: ["efficientad"]})
    edit(copy, "cap", algorithms="auto")
    assert make_plan(copy, ["cap"]).stages == []
    assert not run_line(copy, ["cap", "plate"], None)
    said = "failed: cap: `algorithms: auto` finds none to train: efficientad is left out: it has no"
    assert said in capsys.readouterr().err
    write_params(copy.root, auto={200: ["padim"]})
    make_plan(copy, ["cap"])
    (why,) = untrainable(copy, ["cap", "plate"]).values()
    assert why.endswith("12 good images are too few")


def test_a_product_without_a_champion_soon_has_one(copy, prefect):
    """PaDiM fits into .2 minutes, and FastFlow beside it."""
    write_params(copy.root, auto=AUTO, line={**PARAMS["line"], "budget": 0.2})
    edit(copy, "cap", algorithms="auto", threshold={"overkill": 0.1})
    for _ in range(2):
        before = make_plan(copy, ["cap"])
        assert bool(first_gates(before)) == (not has_champion(copy, "cap"))
        shutil.rmtree(copy.root / "store", ignore_errors=True)
    assert run_line(copy, ["cap"], None)
    told = journals(copy)[0]["stages"]
    began = sorted((stage["began"], name) for name, stage in told.items())
    assert [name for _, name in began] == [
        *("evaluate cap padim", "first gate cap"),
        *("evaluate cap fastflow", "gate cap", "leaderboard"),
    ]
    assert {stage["state"] for stage in told.values()} == {"done"} and has_champion(copy, "cap")


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["nonsense"], 2)])
def test_a_command_ends_at_once_with_its_code_and_all_it_said(words, code):
    command = [sys.executable, "-m", "flows.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert "version 0" in ended.stdout or "No such command" in ended.stderr
