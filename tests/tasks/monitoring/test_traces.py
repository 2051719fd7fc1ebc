"""An inspection is a trace of request, part and release, and continues that of its caller."""

import gzip
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import httpx
import pytest

from tasks.inspect_source import Inspecting
from tasks.models.served import Served
from tasks.monitoring.traces import ENDPOINTS, Traces, open_traces
from tasks.sinks.delivery import Deliveries
from tasks.sinks.outbox import Outbox
from tasks.sinks.telling import Telling
from tasks.store.opening import source_of
from tasks.web.serving.app import create_app
from tasks.web.serving.upload import Settings
from tests.flows.releases import made_release
from tests.tasks.web import listeners

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    root = made_release(tmp_path_factory.mktemp("line")).root
    return SimpleNamespace(by=Served(*source_of(root, "plate"), "cpu"), root=root)


@pytest.fixture
def traced():
    """Traces, and the exporter that keeps their spans."""
    trace = pytest.importorskip("opentelemetry.sdk.trace", reason="needs inspectline[otel]")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return SimpleNamespace(traces=Traces(provider), spans=exporter.get_finished_spans)


def test_a_request_is_a_trace(served, traced):
    app = create_app([served.by], Settings(), traces=traced.traces)
    with listeners.served(app) as url, httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post(
            "/products/plate/inspect",
            content=(served.root / "dark.png").read_bytes(),
            headers={"X-Part-Id": "7", "X-Request-Id": "abc", "traceparent": CALLER},
        )
        assert answer.headers["X-Request-Id"] == "abc"
        other = client.post("/products/plate/inspect", headers={"X-Request-Id": "a b"})
        assert other.status_code == 422
    spans = [one for one in traced.spans() if format(one.context.trace_id, "x") in CALLER]
    whole = spans[-1]
    assert [one.name for one in spans] == ["prepare", "score", "answer", "inspect"]
    assert all(one.parent.span_id == whole.context.span_id for one in spans[:-1])
    assert dict(whole.attributes) == {
        "inspectline.product": "plate",
        "inspectline.request": "abc",
        "inspectline.part": "7",
        "inspectline.release": served.by.champion.release,
        "inspectline.decision": "good",
    }


def test_the_loop_traces_too(served, traced, tmp_path):
    telling = Telling(Deliveries(Outbox(tmp_path / "box"), {}))
    inspecting = Inspecting(served.by, telling, traces=traced.traces)
    inspecting.inspect((served.root / "bright.png").read_bytes(), "bright.png", "8")
    telling.close()
    assert [one.name for one in traced.spans()] == ["score", "tell", "inspect"]
    assert traced.spans()[-1].attributes["inspectline.decision"] == "defect"


def test_without_an_endpoint_nothing_is_traced(monkeypatch):
    for name in ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    with open_traces(print).span("inspect", product="plate") as note:
        note(part="7")


def test_an_endpoint_without_the_extra_is_told(monkeypatch):
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:1")
    for name in [name for name in sys.modules if name.startswith("opentelemetry.sdk")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter", None)
    told = []
    open_traces(told.append).close()
    assert "inspectline[otel]" in told[0]


def test_traces_reach_the_endpoint(monkeypatch):
    pytest.importorskip("opentelemetry.exporter", reason="needs inspectline[otel]")

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.got.append(
                (self.path, self.rfile.read(int(self.headers["Content-Length"])))
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        server.got = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(ENDPOINTS[0], f"http://127.0.0.1:{server.server_port}")
        traces = open_traces(print)
        with traces.span("inspect", part="of this trace"):
            pass
        traces.close()
        server.shutdown()
        thread.join()
    ((path, body),) = server.got
    assert path == "/v1/traces" and b"of this trace" in gunzipped(body)


def gunzipped(body):
    return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
