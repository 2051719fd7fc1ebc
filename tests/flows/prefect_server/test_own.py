"""A run's own server: where its port is lost, where it ends or is silent, and who is told of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from flows.prefect_server import own as module
from flows.prefect_server.own import API_URL, OwnServer, answers, own
from flows.prefect_server.start import named_server
from tests.flows.farm import until

HEALTHY = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Healthy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
HTTPServer(("127.0.0.1", int(sys.argv[1])), Healthy).serve_forever()
"""
SILENT = "import time; time.sleep(60)"
BROKEN = "import sys; sys.exit(3)"


@pytest.fixture
def server(monkeypatch) -> Iterator[OwnServer]:
    monkeypatch.delenv(API_URL, raising=False)
    shared = own.url
    made = OwnServer()
    yield made
    made.stop()
    own.use(shared)


def runs(monkeypatch, script: str) -> list[int]:
    """Have a server be this script; its processes, as they are launched."""
    launched: list[int] = []

    def launch(port: int, log: Path | None) -> subprocess.Popen[bytes]:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([sys.executable, "-c", script, str(port)], **quiet)
        launched.append(process.pid)
        return process

    monkeypatch.setattr(module, "launch", launch)
    return launched


def test_prefect_uses_it_and_what_is_started_is_not_told(server, monkeypatch):
    runs(monkeypatch, HEALTHY)
    server.start(None, 30)
    monkeypatch.setattr("flows.prefect_server.start.own", server)
    assert answers(server.url) and PREFECT_API_URL.value() == server.url
    assert API_URL not in os.environ and not named_server()
    server.stop()
    assert not PREFECT_API_URL.value() and not server.url


def test_it_is_started_once_and_launched_again_where_it_has_died(server, monkeypatch):
    launched = runs(monkeypatch, HEALTHY)
    server.begin(None)
    server.start(None, 30)
    server.start(None, 30)
    assert len(launched) == 1
    url = server.url
    os.kill(launched[0], signal.SIGKILL)
    until(lambda: len(launched) == 2 and answers(url), "another one answers")
    assert server.url == url
    server.stop()
    assert len(launched) == 2 and not answers(url)


def test_one_that_dies_each_time_is_left(server, monkeypatch):
    launched = runs(monkeypatch, BROKEN)
    monkeypatch.setattr(module, "answers", lambda url: True)
    server.start(None, 30)
    until(lambda: len(launched) == 1 + module.AGAIN, "it is launched some times")
    server._process.wait()
    server.start(None, 30)  # of the next run
    assert len(launched) > 1 + module.AGAIN


def test_a_port_that_was_taken_in_between_is_left(server, monkeypatch):
    launched = runs(monkeypatch, HEALTHY)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken, free = other.getsockname()[1], module.unused_port()
        ports = iter([taken, free])
        monkeypatch.setattr(module, "unused_port", lambda: next(ports))
        monkeypatch.setattr(module, "answers", lambda url: url == module.address(free))
        server.start(None, 30)
    assert server.url == module.address(free) and len(launched) == 2


@pytest.mark.parametrize(
    ("script", "patience", "why"),
    [(BROKEN, 30, "it ended with status 3"), (SILENT, 0.3, "it does not answer")],
)
def test_one_that_does_not_start_is_left_nowhere(server, monkeypatch, script, patience, why):
    launched = runs(monkeypatch, script)
    with pytest.raises(RuntimeError, match=why):
        server.start(None, patience)
    assert len(launched) == 1 and not server.url
    with pytest.raises(ProcessLookupError):
        os.kill(launched[0], 0)
