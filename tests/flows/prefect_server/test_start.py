"""The server of a run: reached beside a proxy, and out of reach of what stops the run."""

import os

import pytest

from flows.prefect_server.start import LOOPBACK, reach_loopback


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


def test_the_server_of_a_run_has_a_session_of_its_own(prefect):
    from prefect.server.api.server import SubprocessASGIServer

    pid = SubprocessASGIServer().server_process.pid
    assert os.getsid(pid) == pid != os.getsid(0)
