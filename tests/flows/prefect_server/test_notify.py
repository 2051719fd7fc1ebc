"""Notifications: through a real block of a real server; a failure tells no secret and fails
nothing."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest

from flows.prefect_server.notify import notify
from flows.run import news_of
from tasks.spec.read import read_params
from tasks.workspace.errors import SpecError, StoreError
from tests.flows.conftest import write_params

NEWS = [("promoted", "cap: padim is champion"), ("refused", "plate: padim refused")]
SECRET = "T0PSECRET"


@pytest.fixture
def hook():
    """Where a webhook posts to; what came, and the status that it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(server.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    came = []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.came = 200, came
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def block(prefect, hook):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    made = CustomWebhookNotificationBlock(
        name="factory",
        url=f"http://127.0.0.1:{hook.server_port}/{{{{token}}}}",
        json_data={"title": "{{subject}}", "text": "{{body}}"},
        secrets={"token": SECRET},
    )
    made.save("factory", overwrite=True)
    return "custom-webhook/factory"


def named(tmp_path, block, *on):
    from tasks.workspace.paths import Workspace

    write_params(tmp_path, line__notify={"block": block, "on": list(on)})
    return Workspace(tmp_path)


def test_what_was_asked_for_is_sent_as_one_message(block, hook, tmp_path, capsys):
    workspace = named(tmp_path, block, "promoted", "failed")
    notify(workspace, [*NEWS, ("failed", "failed: fit-padim: no memory")])
    text = "cap: padim is champion\nfailed: fit-padim: no memory"
    assert hook.came == [{"title": f"inspectline {tmp_path.name}", "text": text}]
    notify(workspace, NEWS[1:])
    assert len(hook.came) == 1 and not capsys.readouterr().err


def test_a_failure_is_one_line_without_the_secret(block, hook, tmp_path, capsys):
    hook.status = 500
    notify(named(tmp_path, block, "promoted"), NEWS)
    said = capsys.readouterr()
    assert len(hook.came) == 1 and SECRET not in said.out + said.err
    assert said.err.splitlines() == [
        f"not notified: the block {block} failed (HTTPStatusError); try the block in the Prefect UI"
    ]


def test_a_block_that_is_not_there_is_told(prefect, tmp_path, capsys):
    notify(named(tmp_path, "slack-webhook/nowhere", "promoted"), NEWS)
    [line] = capsys.readouterr().err.splitlines()
    assert "slack-webhook/nowhere cannot be loaded" in line and "prefect block ls" in line


def test_a_run_tells_only_of_what_it_decided():
    decided = {"cap": SimpleNamespace(accepted=True), "plate": SimpleNamespace(accepted=False)}
    verdicts = {"cap": "cap: yes", "plate": "plate: no", "weave": "weave: yes"}
    assert news_of(decided, verdicts, {"fit x": "no memory"}) == [
        ("promoted", "cap: yes"),
        ("refused", "plate: no"),
        ("failed", "failed: fit x: no memory"),
    ]


def test_a_run_notifies_once_of_a_decision(copy, monkeypatch):
    """A gate made stricter is decided again; the second run has nothing to tell."""
    import flows.run

    told = []
    monkeypatch.setattr(flows.run, "notify", lambda _, news: told.append(news))
    params = copy.root / "params.yaml"
    params.write_text(params.read_text().replace("image_auroc: 0.0", "size_mb: 0.000001"))
    flows.run.run_line(copy, ["plate"], None)
    flows.run.run_line(copy, ["plate"], None)
    first, second = told
    assert [occasion for occasion, _ in first] == ["refused"] and second == []


def test_a_scheduled_run_that_cannot_begin_is_told(tmp_path, monkeypatch):
    from flows import scheduled

    def run_line(*_):
        raise StoreError("the remote is gone")

    told = []
    monkeypatch.setattr(scheduled, "run_line", run_line)
    monkeypatch.setattr(scheduled, "notify", lambda _, news: told.extend(news))
    with pytest.raises(StoreError):
        scheduled.scheduled.fn(str(tmp_path), ["cap"], "schedule of cap")
    assert told == [("failed", "failed: schedule of cap: the remote is gone")]


def test_a_block_is_named_by_type_and_name(tmp_path):
    write_params(tmp_path, line__notify={"block": "https://hooks.slack.com/services/T/B/X"})
    with pytest.raises(SpecError, match=r"notify\.block"):
        read_params(tmp_path)
