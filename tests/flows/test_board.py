"""`inspectline board` listens where it is told, and shows the queue of a Prefect server."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from flows import status
from flows.commands.board import tell_address
from flows.status import Queue
from tasks.web.board.access import Access
from tests.tasks.boards import line

ROOT = __file__.rsplit("/tests/", 1)[0]


@pytest.fixture
def started(tmp_path):
    """A function that starts the board, and gives its address and what it said."""
    made = line(tmp_path / "ws")
    running = []

    def start(*options, **environment):
        words = [sys.executable, "-m", "flows.cli", "-w", str(made.root), "board", "--port", "0"]
        process = subprocess.Popen(
            [*words, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": ROOT, "PYTHONUNBUFFERED": "1"} | environment,
        )
        running.append(process)
        said = ""
        while "Ctrl-C" not in said:
            text = process.stdout.readline()
            assert text, said
            said += text
        return re.search(r"http://\S+:(\d+)", said)[1], said

    yield start
    for process in running:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        process.stdout.close()


def test_it_listens_on_loopback_and_needs_no_token_there(started):
    port, said = started()
    assert f"http://127.0.0.1:{port}" in said and "warning" not in said
    told = httpx.get(f"http://127.0.0.1:{port}/progress", trust_env=False, timeout=60).json()
    assert not told["may_change"] and told["server"] is None
    assert "set INSPECTLINE_TOKEN" in said and "key=" not in said  # a key goes to no log


def test_elsewhere_it_warns_and_a_token_and_names_are_taken(started):
    _, said = started("--host", "0.0.0.0")
    assert "warning: anybody who can reach 0.0.0.0 may read this; set INSPECTLINE_TOKEN" in said
    port, said = started("--host", "0.0.0.0", "--name", "line.example", INSPECTLINE_TOKEN="x")
    assert said.count("warning") == 1 and "can be guessed" in said
    url = f"http://127.0.0.1:{port}/progress"
    for host, token, expected in (
        ("line.example", "x", 200),
        ("line.example", "y", 401),
        ("other.example", "x", 421),
    ):
        headers = {"Host": host, "Authorization": f"Bearer {token}"}
        assert httpx.get(url, headers=headers, trust_env=False, timeout=60).status_code == expected


def test_users_are_added_listed_and_removed(tmp_path):
    from click.testing import CliRunner

    from flows.cli import main

    root = str(line(tmp_path / "ws").root)

    def told(*words):
        ended = CliRunner().invoke(main, ["-w", root, "users", *words])
        return ended.exit_code, ended.stdout, ended.stderr

    code, token, said = told("add", "anna", "--role", "label")
    assert code == 0 and len(token) > 40 and "not shown again" in said
    assert told("add", "Anna", "--role", "look")[0] == 1
    assert told("add", "otto", "--role", "boss")[0] == 2
    assert told("list")[1].startswith("anna: label, since 2")
    assert told("remove", "anno")[2].endswith("did you mean 'anna'?\n")
    code, said, warned = told("remove", "anna", "-w", root)
    assert code == 0 and "label" in said and "still asks for a token" in warned
    assert told("list")[1] == ""


def first(known):
    until = time.monotonic() + 60
    while (told := known.now()) is None and time.monotonic() < until:
        time.sleep(0.01)
    return told


def test_without_a_server_there_is_no_queue():
    assert status.server_state() is None


def test_a_server_that_is_away_is_told():
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        told = status.server_state()
    assert told["ui"] == "http://127.0.0.1:9" and "no Prefect server answers" in told["trouble"]


def test_the_queue_of_a_server_is_shown(monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    waits = {"name": "nightly", "state": "Scheduled", "since": "2026-05-04T03:00:00+00:00"}
    monkeypatch.setattr("flows.prefect_server.start.require_server", lambda: None)
    monkeypatch.setattr(status, "read_status", lambda: status.Status([], [waits], [], []))
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        told = status.server_state()
    assert told["queue"] == [waits] and told["trouble"] == "" and told["runs"] == []


def test_a_slow_server_is_not_waited_for_and_asked_by_one_at_a_time(monkeypatch):
    asked, answer = [], threading.Event()

    def slow():
        asked.append(1)
        answer.wait(60)
        return {"queue": []}

    monkeypatch.setattr(status, "server_state", slow)
    known = Queue()
    assert [known.now() for _ in range(5)] == [None] * 5
    answer.set()
    assert first(known) == {"queue": []} and known.now() and len(asked) == 1


@pytest.mark.parametrize("person", [True, False])
def test_the_key_is_shown_to_a_person_and_to_no_log(monkeypatch, capsys, person):
    monkeypatch.setattr("sys.stdout.isatty", lambda: person)
    tell_address("http://127.0.0.1:8090", Access(key="the-key"))
    told = capsys.readouterr().out
    assert ("login#key=the-key" in told) is person and (
        "set INSPECTLINE_TOKEN" in told
    ) is not person
    tell_address("http://127.0.0.1:8090", Access("a-token-of-a-person", key="the-key"))
    told = capsys.readouterr().out
    assert "key" not in told and "token" not in told.lower() and "Ctrl-C" in told
