"""The server of a run is reached beside a proxy, and beside a program that has its port."""

import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.prefect_server import start
from flows.prefect_server.start import LOOPBACK, free_port, reach_loopback, require_server
from tasks.workspace.errors import LineError


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ",".join(LOOPBACK)),
        ("intern,127.0.0.1", "intern,127.0.0.1,localhost,::1"),
        ("*", "*"),
    ],
)
def test_no_proxy_is_asked_for_this_machine(monkeypatch, before, after):
    monkeypatch.setattr(os, "environ", {"no_proxy": before, "NO_PROXY": before})
    reach_loopback()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after


@pytest.fixture
def taken(monkeypatch) -> Iterator[int]:
    """A port that another web server has, and that Prefect would take."""

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(start, "PORT", server.server_port)
        yield server.server_port
        server.shutdown()


def test_a_port_that_another_program_has_is_named_with_one_that_is_free(taken: int):
    port = free_port(taken)
    assert port > taken and free_port(port) == port
    with temporary_settings(restore_defaults={PREFECT_API_URL}), pytest.raises(LineError) as found:
        require_server()
    assert f"--port {port}`, for another program has {taken})" in str(found.value)
    assert f"PREFECT_API_URL, for example http://127.0.0.1:{port}/api" in str(found.value)
    address = f"http://127.0.0.1:{taken}/api"
    with temporary_settings({PREFECT_API_URL: address}), pytest.raises(LineError) as found:
        require_server()
    assert f"another program, and no Prefect server, answers at {address}" in str(found.value)
