"""The server of a run is reached beside a proxy."""

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
