"""A webhook is signed and tried again; a folder holds images by verdict; addresses are checked."""

import hashlib
import hmac
import json
import os
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tasks.sinks.outbox import Message, RefusedError
from tasks.sinks.sink import folder_of, named, open_sink
from tasks.sinks.sorted_folder import sort_image
from tasks.sinks.webhook import SIGNATURE
from tasks.spec.read import check
from tasks.spec.schema import Params, Sink
from tasks.workspace.errors import AwayError, SpecError
from tests.tasks.sinks.results import result


@pytest.fixture
def receiver():
    """A web server that keeps what it was sent; `answers` says with what it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.got.append((self.path, dict(self.headers), body))
            self.send_response(server.answers.pop(0) if server.answers else 204)
            self.end_headers()
            with suppress(OSError):  # who asked is gone
                for chunk in server.says:
                    self.wfile.write(chunk)
                    server.said += len(chunk)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.answers, server.says, server.said = [], [], [], 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def messages(*parts):
    found = [result(part) for part in parts]
    return [Message(number, one.key, one.dump()) for number, one in enumerate(found)]


def webhook(receiver):
    return open_sink(Sink(to=f"http://127.0.0.1:{receiver.server_port}/results"))


def test_a_webhook_is_signed(receiver, monkeypatch):
    monkeypatch.setenv("INSPECTLINE_WEBHOOK_SECRET", "a secret of the factory")
    sent = messages("a", "Teil-ü")
    assert webhook(receiver).send(sent) == sent
    for (path, headers, body), one in zip(receiver.got, sent, strict=True):
        digest = hmac.new(b"a secret of the factory", body, hashlib.sha256).hexdigest()
        assert path == "/results" and headers[SIGNATURE] == f"sha256={digest}"
        assert json.loads(body) == one.body
    assert receiver.got[0][1]["Idempotency-Key"] == sent[0].key


def test_what_a_webhook_does_not_take_waits_with_all_that_follows(receiver):
    sink, sent = webhook(receiver), messages("a", "b", "c")
    receiver.answers = [200, 503]
    assert sink.send(sent) == sent[:1]
    receiver.answers = [302]  # it is not sent on to wherever an answer points
    with pytest.raises(AwayError, match="302"):
        sink.send(sent[1:])
    assert len(receiver.got) == 3
    receiver.shutdown()
    receiver.server_close()
    with pytest.raises(AwayError, match="Connect"):
        sink.send(sent[1:])


def test_what_a_webhook_refuses_is_named_with_what_it_took(receiver):
    sink, sent = webhook(receiver), messages("a", "b", "c")
    receiver.answers = [200, 422]
    with pytest.raises(RefusedError, match="422") as refused:
        sink.send(sent)
    assert (refused.value.message, refused.value.done) == (sent[1], sent[:1])
    for later in (408, 425, 429):
        receiver.answers = [later]
        with pytest.raises(AwayError, match=str(later)):
            sink.send(sent)


def test_an_answer_without_end_is_left(receiver):
    receiver.answers, receiver.says = [200], (bytes(1 << 20) for _ in range(200))
    sent = messages("a")
    assert webhook(receiver).send(sent) == sent
    assert receiver.said < 100 << 20


def test_addresses_that_differ_in_what_is_secret_are_sinks_of_their_own():
    same = "https://mes.factory/results"
    specs = [Sink(to=f"{same}{more}") for more in ("?line=1", "?line=2", "?line=1")]
    found = named(specs)
    assert list(found.values()) == specs[:2]
    assert all(name.startswith(same) and "line=" not in name for name in found)


@pytest.mark.parametrize(
    ("decision", "name"), [("good", "ok"), ("defect", "ng"), ("review", "review")]
)
def test_a_folder_holds_images_by_verdict(tmp_path, decision, name):
    found = result("../a/7", decision)
    for _ in range(2):  # the same inspection again is the same file
        path = sort_image(tmp_path, found, b"pixels", ".png")
    assert path.parent == tmp_path / name and path.read_bytes() == b"pixels"
    assert sorted(one.suffix for one in (tmp_path / name).iterdir()) == [".json", ".png"]
    assert json.loads(path.with_suffix(".json").read_text())["part"] == "../a/7"


def test_a_picture_outlives_a_power_cut(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda file: (synced.append(os.fstat(file).st_size), real(file))
    )
    path = sort_image(tmp_path, result("a"), b"pixels", ".png")
    assert {6, path.with_suffix(".json").stat().st_size} < set(synced)


def test_pictures_of_other_parts_do_not_meet_in_a_folder(tmp_path):
    parts = ("a_1", "a/1", "a:1", "x" * 100, "x" * 101)
    found = [result(part).model_copy(update={"sha256": "0" * 64}) for part in parts]
    assert len({sort_image(tmp_path, one, b"black", ".png") for one in found}) == len(parts)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://host",
        "mqtt://",
        "https:///",
        "",
        " ",
        "http://[::1",
        "mqtt://h:abc",
        "mqtt://h:0",
        "https://h:99999",
        "mqtts://user@",
    ],
)
def test_an_address_that_is_no_sink_says_what_is_one(address):
    with pytest.raises(SpecError, match=r"params.yaml: '.*' is no sink; give mqtt://HOST"):
        check(Sink, {"to": address}, Path("params.yaml"))


def test_an_address_is_named_without_its_password():
    with pytest.raises(SpecError) as raised:
        check(Sink, {"to": "mqtt://line:geheim@host:abc"}, Path("params.yaml"))
    assert "geheim" not in str(raised.value)


def test_a_folder_may_lie_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of(Sink(to="~/sorted"), Path("/line")) == tmp_path / "sorted"


@pytest.mark.parametrize("topic", ["", "a/#", "{line}/x", "{"])
def test_a_topic_can_be_published_to(topic):
    with pytest.raises(SpecError, match="topic"):
        check(Sink, {"to": "mqtt://host", "topic": topic}, Path("params.yaml"))


def test_a_wrong_key_of_a_sink_is_named():
    spec = {"line": {"sinks": [{"to": "mqtt://host"}, {"to": "mqtt://host", "topik": "a"}]}}
    with pytest.raises(SpecError, match=r"'line.sinks.1.topik'; did you mean 'topic'\?"):
        check(Params, spec, Path("params.yaml"))


def test_a_pattern_of_params_that_names_no_part_is_refused():
    with pytest.raises(SpecError, match=r"line.part: '\(a\)' names no part"):
        check(Params, {"line": {"part": "(a)"}}, Path("params.yaml"))
