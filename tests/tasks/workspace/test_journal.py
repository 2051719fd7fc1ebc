"""A run's journal is whole at any moment, and tells a run that was killed from one at work."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.workspace import journal
from tasks.workspace.journal import Journal, journals
from tasks.workspace.paths import Workspace

ROOT = Path(__file__).parents[3]


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path)


def newest(workspace):
    return journals(workspace)[0]


def test_it_tells_what_is_done_what_works_and_what_waits(workspace, monkeypatch):
    monkeypatch.setattr(journal, "EVERY", 0.0)
    with Journal(workspace, ["a", "b", "c", "d"], slots=2) as told:
        told.begin("a", "cpu")
        told.end("a", "done")
        told.begin("b", "cuda:0")
        told.tell("b", "learn 1/2", 0.5, {"loss": 0.123456, "broken": float("nan")})
        told.end("c", "failed", "no image")
        record = newest(workspace)
        assert record["alive"] and record["ended"] is None and record["slots"] == 2
        assert {name: s["state"] for name, s in record["stages"].items()} == {
            "a": "done",
            "b": "working",
            "c": "failed",
            "d": "waiting",
        }
        assert record["stages"]["c"]["reason"] == "no image"
        at_work = record["stages"]["b"]
        assert (at_work["step"], at_work["fraction"], at_work["device"]) == (
            "learn 1/2",
            0.5,
            "cuda:0",
        )
        assert at_work["metrics"] == {"loss": 0.1235}
    assert newest(workspace)["ended"] and not newest(workspace)["alive"]
    assert [path.suffix for path in (workspace.scratch / "runs").iterdir()] == [".json"]


def test_a_fraction_that_begins_anew_begins_another_part(workspace, monkeypatch):
    monkeypatch.setattr(journal, "EVERY", 0.0)
    times = iter(f"2026-01-01T00:00:{second:02d}.000+00:00" for second in range(60))
    monkeypatch.setattr(journal, "now", lambda: next(times))
    with Journal(workspace, ["a"]) as told:
        told.begin("a")
        parts = []
        for fraction in (0.1, 0.9, 0.2, 0.3):
            told.tell("a", "fold", fraction, {})
            parts.append(newest(workspace)["stages"]["a"]["part"])
    assert parts[0] == parts[1] < parts[2] == parts[3]


def test_progress_is_not_written_more_often_than_it_is_read(workspace, monkeypatch):
    writes = []
    monkeypatch.setattr(journal, "write_text", lambda path, text: writes.append(text))
    with Journal(workspace, ["a"]) as told:
        told.begin("a")
        before = len(writes)
        for step in range(1000):
            told.tell("a", "learn", step / 1000, {})
        assert len(writes) - before < 5


def test_the_last_word_before_a_silence_is_written_too(workspace, monkeypatch):
    monkeypatch.setattr(journal, "EVERY", 0.1)
    with Journal(workspace, ["a"]) as told:
        told.begin("a")
        for fraction in (0.1, 0.2, 0.3):
            told.tell("a", "learn", fraction, {})
        assert "fraction" not in newest(workspace)["stages"]["a"]
        until = time.monotonic() + 30
        while newest(workspace)["stages"]["a"].get("fraction") != 0.3:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_of_thousands_of_stages_not_each_change_is_written_at_once(workspace, monkeypatch):
    monkeypatch.setattr(journal, "MANY", 2)
    monkeypatch.setattr(journal, "SHARE", 1e9)
    with Journal(workspace, ["a", "b", "c"]) as told:
        told.end("a", "done")
        told.end("b", "done")
        assert newest(workspace)["stages"]["b"]["state"] == "waiting"
    assert newest(workspace)["stages"]["b"]["state"] == "done"


def test_a_run_that_was_killed_shows_as_dead(workspace):
    code = (
        "import sys, time; from pathlib import Path; from tasks.workspace.paths import Workspace;"
        "from tasks.workspace.journal import Journal\n"
        "with Journal(Workspace(Path(sys.argv[1])), ['a', 'b']) as told:\n"
        "    told.begin('a'); print('ready', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(workspace.root)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as run:
        assert run.stdout and run.stdout.readline() == b"ready\n"
        record = newest(workspace)
        assert record["alive"] and record["pid"] == run.pid
        run.send_signal(signal.SIGKILL)
        run.wait()
    record = newest(workspace)
    assert not record["alive"] and record["ended"] is None
    assert record["stages"]["a"]["state"] == "working"


def test_the_newest_come_first_and_the_oldest_go(workspace, monkeypatch):
    monkeypatch.setattr(journal, "KEPT", 3)
    for name in "abcde":
        with Journal(workspace, [name]):
            pass
    assert ["".join(record["stages"]) for record in journals(workspace)] == ["e", "d", "c"]


def test_a_journal_that_was_cut_is_passed_over(workspace):
    with Journal(workspace, ["a"]) as told:
        pass
    torn = ['{"pid": 1, "sta', "[]", "{}", "null", '"text"', '{"ended": null}', "\udcff"]
    whole = json.loads(told.path.read_text())
    torn += [json.dumps(whole | wrong) for wrong in ({"stages": []}, {"stages": {"a": 1}})]
    for number, text in enumerate(torn):
        path = told.path.with_name(f"99990101T00000{number}.json")
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert [list(record["stages"]) for record in journals(workspace)] == [["a"]]


def test_a_full_disk_costs_the_journal_and_not_the_run(workspace, monkeypatch):
    def full(path, text):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(journal, "write_text", full)
    with Journal(workspace, ["a"]) as told:
        told.begin("a")
        told.end("a", "done")
    assert journals(workspace) == []


def test_a_name_that_was_not_planned_is_told_too(workspace):
    with Journal(workspace, []) as told:
        told.begin("leaderboard")
        told.end("leaderboard", "done")
    assert json.loads(told.path.read_text())["stages"]["leaderboard"]["state"] == "done"
