"""What the board shows of a Prefect server, asked in the background: it may be slow, or away."""

import threading
import time
from typing import Any

from tasks.errors import LineError

EVERY = 5.0  # seconds between questions, as long as somebody looks


class Queue:
    """`now` answers at once with what is known; it is None where no server is named."""

    def __init__(self) -> None:
        self._known: dict[str, Any] | None = None
        self._asked = -EVERY
        self._busy = threading.Lock()

    def now(self) -> dict[str, Any] | None:
        if time.monotonic() - self._asked >= EVERY and self._busy.acquire(blocking=False):
            threading.Thread(target=self._ask, name="prefect", daemon=True).start()
        return self._known

    def _ask(self) -> None:
        try:
            self._known = asked()
        finally:
            self._asked = time.monotonic()
            self._busy.release()


def asked() -> dict[str, Any] | None:
    """Address of the server's pages, runs that wait or work, and trouble where it is away."""
    from prefect.settings import PREFECT_API_URL, PREFECT_UI_URL

    if not (url := PREFECT_API_URL.value()):
        return None
    told: dict[str, Any] = {
        "ui": PREFECT_UI_URL.value() or url.removesuffix("/api"),
        "runs": [],
        "queue": [],
        "trouble": "",
    }
    try:
        from flows.server import ask

        ask()
        from flows.status import status

        found = status()
    except LineError as error:
        return told | {"trouble": str(error)}
    except Exception as error:  # whatever the server says: the board goes on without it
        return told | {"trouble": f"the Prefect server at {url}: {error}"}
    return told | {"runs": found.runs, "queue": found.queue}
