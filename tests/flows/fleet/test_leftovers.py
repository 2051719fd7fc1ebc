"""What earlier batches made is taken over where all that it was made from is as now."""

import uuid
from types import SimpleNamespace

import pytest

from flows.fleet import leftovers
from flows.fleet.batch_status import BatchStatus
from flows.fleet.leftovers import collect_results
from flows.running.plan import Plan
from tasks.build.records import Stage
from tasks.workspace.paths import Workspace

FIT, EVALUATE = Stage("fit", "cap", "padim"), Stage("evaluate", "cap", "padim")


class Server:
    """Has batches that have ended, the latest first; each made some stages."""

    def __init__(self, *made):
        state = SimpleNamespace(is_final=lambda: True)
        stages = {"stages": [["fit", "cap", "padim"], ["evaluate", "cap", "padim"]]}
        self.runs = [SimpleNamespace(id=uuid.uuid4(), parameters=stages, state=state) for _ in made]
        self.news = {
            run.id: BatchStatus(done={str(stage): entry for stage, entry in one.items()})
            for run, one in zip(self.runs, made, strict=True)
        }

    def read_flow_runs(self, **_):
        return self.runs


@pytest.fixture
def here(monkeypatch, tmp_path):
    """What each stage has been given here; an entry `{"from": x}` was made from x."""
    now = {FIT: "seed 2", EVALUATE: "model of seed 1"}

    def take(_, entries):
        [(stage, made)] = entries.items()
        if stage == FIT:
            now[EVALUATE] = made["gives"]
        return []

    monkeypatch.setattr(leftovers, "same_inputs", lambda _, stage, made: made["from"] == now[stage])
    monkeypatch.setattr(leftovers, "take_over", take)
    monkeypatch.setattr(leftovers, "name_of", lambda _: "line")
    monkeypatch.setattr(leftovers, "read_statuses", lambda client, _: client.news)
    return Plan(Workspace(tmp_path), None, ["cap"], [FIT, EVALUATE])


def fit(seed):
    return {"from": f"seed {seed}", "gives": f"model of seed {seed}"}


def evaluation(seed):
    return {"from": f"model of seed {seed}"}


def test_an_evaluation_of_a_model_that_is_to_be_made_anew_is_not_taken(here):
    """Its inputs are as they were only because the fit has not run yet."""
    server = Server({FIT: fit(1), EVALUATE: evaluation(1)})
    assert collect_results(server, here, [FIT, EVALUATE]) == set()
    assert collect_results(server, here, [EVALUATE]) == {EVALUATE}


@pytest.mark.parametrize("fit_is_later", [False, True])
def test_a_fit_and_its_evaluation_by_two_batches_are_taken(here, fit_is_later):
    made = [{FIT: fit(2)}, {EVALUATE: evaluation(2)}, {FIT: fit(1), EVALUATE: evaluation(1)}]
    if not fit_is_later:
        made[:2] = made[1::-1]
    assert collect_results(Server(*made), here, [FIT, EVALUATE]) == {FIT, EVALUATE}
