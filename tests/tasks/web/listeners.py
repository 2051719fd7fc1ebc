"""A service that listens on a port of its own while a test runs."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.web.listening import Limits, server_of


@contextmanager
def served(app: Any, limits: Limits | None = None) -> Iterator[str]:
    """Its address."""
    server, socket = server_of(app, "127.0.0.1", 0, limits)
    thread = threading.Thread(target=server.run, args=([socket],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(60)
