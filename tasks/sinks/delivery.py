"""Send what waits in an outbox, each sink from a thread of its own, until it is acknowledged."""

import logging
import threading

from tasks.documents.result import Result
from tasks.sinks.outbox import Outbox, RefusedError, Taken
from tasks.sinks.refused import REFUSED
from tasks.sinks.sink import Sink
from tasks.workspace.errors import LineError
from tasks.workspace.secrets import without_secrets

MOST = 50  # results sent at once
LOOK = 5.0  # seconds between looks for what another process had sent once more
SHORTEST, LONGEST = 0.5, 30.0  # seconds before a failed sending is tried again
log = logging.getLogger(__name__)


class Deliveries:
    """Results go to all sinks. `start` begins, `close` ends after what is under way."""

    def __init__(self, outbox: Outbox, sinks: dict[str, Sink]) -> None:
        self.outbox = outbox
        self._threads = [Delivery(outbox, name, sink) for name, sink in sinks.items()]
        self._names = list(sinks)

    def start(self) -> None:
        left = sorted(set(self.outbox.counts()) - set(self._names))
        for name in left:
            log.warning("results for %s wait in %s: no such sink now", name, self.outbox.path)
        for one in self._threads:
            one.start()

    def add(self, result: Result, taken: Taken | None = None) -> None:
        """On disk when this returns, and sent as soon as it can be."""
        self.outbox.add(result.key, result.dump(), self._names, taken)
        for one in self._threads:
            one.wake.set()

    @property
    def waiting(self) -> dict[str, int]:
        """How many results each sink has not acknowledged."""
        counts = self.outbox.counts()
        return {name: counts.get(name, 0) for name in self._names}

    @property
    def refused(self) -> dict[str, int]:
        """How many results each sink refused for good."""
        counts = self.outbox.counts(REFUSED)
        return {name: counts.get(name, 0) for name in self._names}

    def close(self) -> None:
        for one in self._threads:
            one.end()
        for one in self._threads:
            if one.ident is not None:  # it was started
                one.join()
        self.outbox.close()


class Delivery(threading.Thread):
    """Sends to one sink, oldest first."""

    def __init__(self, outbox: Outbox, name: str, sink: Sink) -> None:
        super().__init__(name=f"sends to {name}", daemon=True)
        self.outbox, self.sink, self.address = outbox, sink, name
        self.wake = threading.Event()
        self._over = threading.Event()
        self._trouble = ""

    def end(self) -> None:
        self._over.set()
        self.wake.set()

    def run(self) -> None:
        pause = SHORTEST
        while not self._over.is_set():
            self.wake.clear()
            try:
                if not self._send():
                    self.wake.wait(LOOK)
                pause = SHORTEST
            except Exception as error:  # whatever a library brings up; the results stay
                self._tell(str(error) if isinstance(error, LineError) else repr(error))
                self.sink.close()
                self._over.wait(pause)
                pause = min(2 * pause, LONGEST)
        self.sink.close()

    def _send(self) -> bool:
        """Send the oldest results; False where none wait."""
        waits = self.outbox.waiting(self.address, MOST)
        if waits:
            try:
                self.outbox.done(self.sink.send(waits))
            except RefusedError as error:
                self.outbox.done(error.done)
                self.outbox.refuse(error.message, str(error))
                part = error.message.body.get("part")
                log.warning("%s refuses part %s: %s; it is kept", self.address, part, error)
            self._tell("")
        return bool(waits)

    def _tell(self, trouble: str) -> None:
        """Into the log, once for each change."""
        if trouble and trouble != self._trouble:
            log.warning("%s: results wait: %s", self.address, without_secrets(trouble))
        elif self._trouble and not trouble:
            log.warning("%s takes results again", self.address)
        self._trouble = trouble
