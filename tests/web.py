"""A web server on loopback whose faults a test chooses."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Web:
    """Serves `files` by path; `cuts` and `statuses` are for the next requests, one each."""

    port: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    versions: bool = True  # an ETag for each content
    kind: str = "application/octet-stream"
    cuts: list[int] = field(default_factory=list)  # bytes after which the connection breaks
    statuses: list[int] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)  # headers of each request

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"


class Handler(BaseHTTPRequestHandler):
    web: Web

    def do_GET(self) -> None:
        web = self.web
        web.asked.append(dict(self.headers))
        content = web.files.get(self.path.lstrip("/"))
        if web.statuses or content is None:
            self.send_error(web.statuses.pop(0) if web.statuses else 404)
            return
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        asked = self.headers.get("Range", "")
        same = self.headers.get("If-Range", tag) == tag
        start = (
            int(asked.removeprefix("bytes=").rstrip("-")) if asked and web.ranges and same else 0
        )
        if start >= len(content) > 0:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if web.versions:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", web.kind)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + web.cuts.pop(0) if web.cuts else len(content)
        self.wfile.write(content[start:end])  # a cut one ends here, and with it the connection

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    """A server that runs while the test does."""
    known = Web()
    handler = type("Bound", (Handler,), {"web": known})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        known.port = server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield known
        server.shutdown()
