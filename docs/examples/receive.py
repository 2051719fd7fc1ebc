"""Receive results by HTTP and write each down once, also where one side is killed on the way.

    python receive.py 8080 results.jsonl

A result counts as sent once the answer is 2xx, so it is on disk before the answer. One that comes
again, because the answer was lost, has the same Idempotency-Key. Nothing of inspectline is needed.
"""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

SECRET = os.environ.get("INSPECTLINE_WEBHOOK_SECRET", "")  # that both sides know, or none


def whole_lines(path: Path) -> list[bytes]:
    """The lines of the file; what a kill left of the last one is cut off."""
    content = path.read_bytes() if path.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    path.write_bytes(whole)
    return whole.splitlines()


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the next result comes on the same connection

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        key = self.headers["Idempotency-Key"]
        told = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        known = self.headers.get("X-Inspectline-Signature", "")
        good = not SECRET or hmac.compare_digest(told, known)
        if good:
            with turn:
                if key not in keys:
                    out.write(json.dumps({"key": key, "result": json.loads(body)}) + "\n")
                    out.flush()
                    os.fsync(out.fileno())
                    keys.add(key)
        self.send_response(204 if good else 403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None: ...


port, path = int(sys.argv[1]), Path(sys.argv[2])
turn, keys = Lock(), {json.loads(line)["key"] for line in whole_lines(path)}
with path.open("a") as out:
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
