"""What the board says of runs: at work, killed, how long still, what failed and was not mended."""

import fcntl
import json
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.web.board.estimates import seconds_left, stage_durations
from tasks.web.board.now import current_state
from tasks.workspace.journal import Journal, hold
from tasks.workspace.lock import RUN, run_lock
from tasks.workspace.paths import Workspace

START = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path)
    for product in ("cap", "cup"):
        made.product(product).mkdir(parents=True)
        (made.product(product) / "product.yaml").touch()
    return made


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def run(workspace: Workspace, began: float, stages: dict[str, dict], ended: float | None) -> Path:
    """A journal of a run whose process has gone."""
    record = {"pid": 7, "host": "line", "began": at(began), "told": at(began + 50), "slots": 1}
    record |= {"ended": None if ended is None else at(ended), "stages": stages}
    path = workspace.scratch / "runs" / f"{began:06.0f}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record))
    return path


def done(began: float, seconds: float) -> dict:
    return {"state": "done", "began": at(began), "ended": at(began + seconds)}


def failed(began: float, reason: str) -> dict:
    return {"state": "failed", "began": at(began), "ended": at(began + 1), "reason": reason}


def test_before_the_first_run_there_is_none(workspace):
    assert current_state(workspace)["run"] is None and current_state(workspace)["failures"] == []


def test_a_run_at_work_is_counted(workspace):
    with Journal(workspace, ["validate cap", "fit cap padim", "gate cap"], slots=2) as journal:
        journal.begin("validate cap")
        journal.end("validate cap", "done")
        journal.begin("fit cap padim", "cpu")
        journal.tell("fit cap padim", "learn 1/2", 0.25, {"loss": 0.5})
        told = current_state(workspace)["run"]
        assert (told["state"], told["done"], told["total"]) == ("working", 1, 3)
        assert told["waiting"] == ["gate cap"] and told["ended"] is None
        [stage] = told["working"]
        assert stage["name"] == "fit cap padim" and stage["device"] == "cpu"
        assert told["left"] is None and not stage["known"]  # nothing like it has run before
    told = current_state(workspace)["run"]
    assert told["state"] == "done" and told["ended"] and told["working"] == []


def test_a_run_that_looks_what_is_to_be_done_is_told(workspace):
    run(workspace, 0, {"gate cap": done(0, 1)}, 2)
    assert current_state(workspace)["planning"] is False
    with run_lock(workspace):  # a change by hand, which is no run
        assert current_state(workspace)["planning"] is False
    with run_lock(workspace, what=RUN):
        assert current_state(workspace)["planning"] is True
        with Journal(workspace, ["gate cap"]):
            assert current_state(workspace)["planning"] is False
        told = current_state(workspace)  # the stages are over, and it writes its report
        assert told["planning"] is False and told["run"]["state"] == "finishing"
    assert current_state(workspace)["run"]["state"] == "done"
    assert current_state(workspace)["planning"] is False


def test_a_look_takes_the_workspace_from_nobody(workspace):
    ended, looks = threading.Event(), 0

    def look():
        nonlocal looks
        while not ended.is_set():
            current_state(workspace)
            looks += 1

    thread = threading.Thread(target=look)
    thread.start()
    for _ in range(300):
        with run_lock(workspace):
            pass
    ended.set()
    thread.join()
    assert looks > 3


def test_a_look_that_takes_long_is_waited_for(workspace):
    with run_lock(workspace):
        pass
    look = (workspace.scratch / "run.lock").open()
    fcntl.flock(look, fcntl.LOCK_SH)
    threading.Timer(0.3, look.close).start()
    with run_lock(workspace, patience=0.01):
        assert look.closed


def test_a_run_that_was_killed_is_told_from_one_at_work(workspace):
    stages = {
        "fit cap padim": {"state": "working", "began": at(0)},
        "gate cap": {"state": "waiting"},
    }
    path = run(workspace, 0, stages, None)
    told = current_state(workspace)
    assert told["run"]["state"] == "killed" and told["run"]["ended"] == at(50)
    assert told["run"]["working"] == told["run"]["waiting"] == []
    [failure] = told["failures"]
    assert (
        failure["name"] == "fit cap padim" and "was killed (process 7 on line)" in failure["reason"]
    )
    run(workspace, -100, {"fit cap padim": failed(-100, "another time")}, -99)
    lock = hold(path)
    assert (
        current_state(workspace)["run"]["state"] == "working"
        and current_state(workspace)["failures"] == []
    )
    lock.close()


@pytest.mark.parametrize(
    ("states", "expected"),
    [(["done", "failed"], "failed"), (["failed", "stopped"], "stopped"), (["unchanged"], "done")],
)
def test_how_a_run_ended(workspace, states, expected):
    run(workspace, 0, {f"s{i}": done(0, 1) | {"state": s} for i, s in enumerate(states)}, 60)
    assert current_state(workspace)["run"]["state"] == expected


def test_a_run_that_was_stopped_between_two_stages_is_no_done_one(workspace):
    path = run(workspace, 0, {"validate cap": done(0, 1), "gate cap": {"state": "waiting"}}, 60)
    assert current_state(workspace)["run"]["state"] == "done"
    stopped = {"by": "anna", "time": at(1)}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"stopped": stopped}))
    told = current_state(workspace)["run"]
    assert (told["state"], told["stopped"]) == ("stopped", "anna")


def test_a_failure_stands_until_the_stage_is_done(workspace):
    run(workspace, 0, {"validate cap": failed(0, "no mask"), "fit cup vae": failed(5, "nan")}, 9)
    run(workspace, 100, {"gate cup": done(100, 1)}, 110)
    assert [one["name"] for one in current_state(workspace)["failures"]] == [
        "fit cup vae",
        "validate cap",
    ]
    run(workspace, 200, {"validate cap": done(200, 1)}, 210)
    [failure] = current_state(workspace)["failures"]
    assert failure == {"name": "fit cup vae", "time": at(6), "reason": "nan"}


def test_a_failure_is_mended_by_a_newer_result_or_with_its_product(workspace):
    run(workspace, 0, {"evaluate cap padim": failed(0, "a"), "gate gone": failed(0, "b")}, 9)
    assert [one["name"] for one in current_state(workspace)["failures"]] == ["evaluate cap padim"]
    result = workspace.evaluation("cap", "padim") / "metrics.json"
    result.parent.mkdir(parents=True)
    result.touch()
    for seconds, stays in ((0, 1), (2, 0)):
        when = (START + timedelta(seconds=seconds)).timestamp()
        os.utime(result, (when, when))
        assert len(current_state(workspace)["failures"]) == stays


def test_the_newest_time_of_a_stage_counts_and_other_products_stand_in():
    told = [
        {"stages": {"fit cap vae": done(100, 30), "fit cup vae": done(100, 50)}},
        {"stages": {"fit cap vae": done(0, 10), "validate cap": {"state": "done"}}},
    ]
    usual = stage_durations(told)
    assert usual["fit cap vae"] == 30 and usual["fit * vae"] == 40


def test_time_left_needs_to_know_every_stage():
    usual = {"fit a vae": 100.0, "gate *": 10.0}
    at_work = [{"left": 40, "known": True}]
    assert seconds_left(at_work, ["fit a vae", "gate b"], usual, 1) == 150
    assert seconds_left(at_work, ["fit a vae", "gate b"], usual, 3) == 50
    assert (
        seconds_left([{"left": 90, "known": True}], [], usual, 3) == 90
    )  # one stage is not shared
    assert seconds_left(at_work, ["fit a padim"], usual, 1) is None
    assert seconds_left([{"left": 40, "known": False}], [], usual, 1) is None
    assert seconds_left([], [], usual, 1) == 0


def test_a_stage_that_ran_before_says_what_is_left_of_it(workspace):
    run(workspace, 0, {"fit cap vae": done(0, 10_000)}, 10_001)
    with Journal(workspace, ["fit cap vae", "fit cup vae"]) as journal:
        journal.begin("fit cap vae")
        told = current_state(workspace)["run"]
        [stage] = told["working"]
        assert stage["known"] and 9_900 < stage["left"] <= 10_000
        assert 19_900 < told["left"] <= 20_000


def test_an_unknown_stage_says_what_is_left_of_its_part(workspace, monkeypatch):
    with Journal(workspace, ["fit cap vae"]) as journal:
        journal.begin("fit cap vae")
        journal.tell("fit cap vae", "fold 1/4", 0.25, {})
        began = datetime.now(UTC) - timedelta(seconds=30)
        journal.record["stages"]["fit cap vae"]["part"] = began.isoformat()
        journal.begin("another")
        stage = next(
            one for one in current_state(workspace)["run"]["working"] if one["step"] == "fold 1/4"
        )
        assert not stage["known"] and 85 <= stage["left"] <= 100
