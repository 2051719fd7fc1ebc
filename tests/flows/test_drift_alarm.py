"""Drift that was seen: told once, and a run only where there is something to train on."""

import pytest

from flows import drift_alarm
from flows.prefect_server.names import DRIFTED, DUE
from tasks.monitoring.due import read_drift
from tasks.monitoring.findings import Finding
from tasks.workspace.errors import LineError
from tasks.workspace.files import write_text
from tasks.workspace.paths import Workspace
from tests.flows.conftest import refused


def finding(name, drifted):
    return Finding(name, 200, 0.5, 0.2, drifted, {}, {})


SEEN = [finding("score", True), finding("rejects", False), finding("brightness", True)]
CALM = [finding("score", False)]
TEXT = "cap: score, brightness drifted"


@pytest.fixture
def server(monkeypatch):
    """What the server and people were told."""
    told = []
    monkeypatch.setattr(
        drift_alarm, "announce", lambda _, reasons, event: told.append((event, reasons["cap"]))
    )
    monkeypatch.setattr(drift_alarm, "notify", lambda _, news: told.extend(news))
    return told


@pytest.fixture
def cap(tmp_path):
    return Workspace(tmp_path)


def test_without_anything_new_no_run_starts(cap, server):
    assert drift_alarm.report_drift(cap, "cap", SEEN)[-1] == "no run: nothing new to train on"
    assert server == [(DRIFTED, TEXT), ("drift", TEXT)]
    drift_alarm.report_drift(cap, "cap", SEEN)
    assert len(server) == 2  # what is known is not told again
    drift_alarm.report_drift(cap, "cap", CALM)
    drift_alarm.report_drift(cap, "cap", SEEN)
    assert len(server) == 4


def test_what_waits_gets_a_run(cap, server):
    write_text(cap.product("cap") / "product.yaml", "retrain: {new_images: 50}")
    write_text(cap.images("cap") / "train" / "good" / "1.png", "")
    drift_alarm.report_drift(cap, "cap", CALM)
    assert server == []
    drift_alarm.report_drift(cap, "cap", SEEN)
    assert server[-1] == (DUE, "cap: drift, 1 new images")


def test_a_server_that_is_away_is_told_at_the_next_look(cap, server, monkeypatch):
    def away(*_):
        raise LineError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(drift_alarm, "announce", away)
        with pytest.raises(LineError):
            drift_alarm.report_drift(cap, "cap", SEEN)
    assert read_drift(cap, "cap") == []
    drift_alarm.report_drift(cap, "cap", SEEN)
    assert server[0] == (DRIFTED, TEXT) and read_drift(cap, "cap") == ["score", "brightness"]


def test_the_command_announces(copy, command, monkeypatch, tmp_path):
    import tasks.drift

    seen = []
    monkeypatch.setattr(tasks.drift, "find_drift", lambda *_: SEEN)
    monkeypatch.setattr(
        drift_alarm, "report_drift", lambda *told: seen.append(told[1]) or ["announced"]
    )
    monkeypatch.setattr("flows.prefect_server.start.require_server", lambda: None)
    words = ["--log", tmp_path / "log", "--announce"]
    result = command(copy, "drift", "cap", *words)
    assert result.exit_code == 1 and "announced" in result.output and seen == ["cap"]
    refused(command(copy, "drift", "cup", *words), "no product 'cup'")
