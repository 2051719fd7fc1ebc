"""Each answer of the service names the part and the image."""

import hashlib
import json

import httpx
import pytest

from tasks.models.served import Served
from tasks.sinks.delivery import Deliveries
from tasks.sinks.outbox import Outbox
from tasks.sinks.telling import Telling
from tasks.store.opening import source_of
from tasks.web.serving.app import create_app
from tasks.web.serving.upload import Settings
from tasks.workspace.errors import AwayError
from tests.flows.releases import made_release
from tests.tasks.web import listeners


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return made_release(tmp_path_factory.mktemp("line")).root


@pytest.fixture(scope="module")
def client(root):
    app = create_app([Served(*source_of(root, "plate"), "cpu")], Settings())
    with (
        listeners.served(app) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        yield client


def ask(client, root, **more):
    content = (root / "dark.png").read_bytes()
    return client.post("/products/plate/inspect", content=content, **more)


def test_the_part_is_that_of_the_header_or_of_the_field(client, root):
    told = ask(client, root, headers={"X-Part-Id": "A 7"}).json()
    assert told["part"] == "A 7"
    assert told["sha256"] == hashlib.sha256((root / "dark.png").read_bytes()).hexdigest()
    assert ask(client, root, params={"part": "Teil-ü"}).json()["part"] == "Teil-ü"


def test_a_part_without_an_id_gets_one(client, root):
    assert ask(client, root).json()["part"] != ask(client, root).json()["part"]


def test_what_cannot_be_an_id_is_refused(client, root):
    answer = ask(client, root, params={"part": "x" * 200})
    assert answer.status_code == 422 and "no part id" in answer.json()["error"]


def test_a_result_is_kept_for_the_sinks_before_the_client_has_it(root, tmp_path):
    deliveries = Deliveries(Outbox(tmp_path / "box"), {"there": Away()})
    telling = Telling(deliveries, [tmp_path / "sorted"])
    settings = Settings(log=tmp_path / "log")
    app = create_app([Served(*source_of(root, "plate"), "cpu")], settings, telling=telling)
    with (
        listeners.served(app) as url,
        httpx.Client(base_url=url, timeout=60, trust_env=False) as client,
    ):
        told = ask(client, root, headers={"X-Part-Id": "7"}, params={"heat_map": True}).json()
        assert deliveries.waiting == {"there": 1}
        assert 'inspectline_unsent{sink="there"} 1.0' in client.get("/metrics").text
        assert 'inspectline_sink_refused{sink="there"} 0.0' in client.get("/metrics").text
        (tmp_path / "sorted/ok").rename(tmp_path / "kept")
        (tmp_path / "sorted/ok").write_text("in the way")
        refused = ask(client, root)
        assert refused.status_code == 503 and "cannot be kept" in refused.json()["error"]
    (logged,) = (tmp_path / "log/plate").iterdir()
    assert logged.read_text().count("\n") == 1  # the other one is sent again
    del told["heat_map"]
    (kept,) = (json.loads(one.read_text()) for one in (tmp_path / "kept").glob("7-*.json"))
    assert kept == {"version": 1, "time": kept["time"], "image": None, **told}
    again = Outbox(tmp_path / "box")
    assert [one.body for one in again.waiting("there", 9)] == [kept]
    again.close()


class Away:
    def send(self, messages):
        raise AwayError("nobody is there")

    def close(self):
        pass
