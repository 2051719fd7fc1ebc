"""moto's server with one write at a time: a real store compares and swaps in one step, moto in two.

python tests/moto_in_turn.py PORT
"""

import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import MotoRequestHandler
from werkzeug.serving import run_simple

MOTO = DomainDispatcherApplication(create_backend_app)
TURN = threading.Lock()


def in_turn(environ: dict[str, Any], start_response: Callable) -> Iterable[bytes]:
    """The WSGI application."""
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        return MOTO(environ, start_response)
    with TURN:
        return MOTO(environ, start_response)


if __name__ == "__main__":
    run_simple(
        "127.0.0.1", int(sys.argv[1]), in_turn, threaded=True, request_handler=MotoRequestHandler
    )
