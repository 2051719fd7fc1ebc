"""Listen for HTTP: limits on how long a client may take and how many may connect, and a quiet log.

uvicorn bounds neither the time for a request nor that for taking its answer. Where descriptors run
out, asyncio writes a stack trace for each connection that it cannot accept.
"""

import asyncio
import json
import logging
import math
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

BACKLOG = 128  # connections that wait to be accepted
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """Seconds and counts; a client beyond one of them is sent away."""

    head: float = 10.0  # seconds for the head of a request, from the connection or its first byte
    idle: float = 75.0  # seconds that a connection is kept after an answer; longer than clients do
    body: float = 40.0  # seconds for its body; a service may answer earlier
    taking: float = 60.0  # seconds to take an answer
    connections: int = 1000  # at once
    spare: int = 64  # descriptors that are left for files and the store

    @property
    def at_once(self) -> int:
        """Connections at once that the descriptors of this process allow, at least one."""
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if allowed == resource.RLIM_INFINITY:
            return self.connections
        return max(1, min(self.connections, allowed - open_descriptors() - self.spare))


def open_descriptors() -> int:
    """Descriptors that this process has open; 0 where the system does not tell."""
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0


class PatientProtocol(H11Protocol):
    """One connection. A client is waited for, but not for ever; what is no HTTP gets JSON too."""

    limits: ClassVar[Limits] = Limits()
    at_once: ClassVar[int] = 1000

    _phase = ""  # what the client is waited for: its head, its body, another request, or nothing
    _since = 0.0
    _timer: asyncio.TimerHandle | None = None
    _taking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.at_once and not self._idle_gives_way():
            self._send_away(503, "too many connections; try again in a second", "Retry-After: 1")
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # what still comes from a client that was sent away
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._phase = "gone"
        self._stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking = self.loop.call_later(self.limits.taking, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def send_400_response(self, msg: str) -> None:
        self._send_away(400, msg)

    def _watch(self) -> None:
        """Begin a time limit where the client is waited for something new."""
        waiting = {h11.IDLE: "head", h11.SEND_BODY: "body"}
        phase = waiting.get(self.conn.their_state, "")
        if phase == "head" and self.cycle and not self.conn.trailing_data[0]:
            phase = "idle"
        if self._phase in (phase, "gone"):
            return
        self._phase, self._since = phase, self.loop.time()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if phase:
            seconds = getattr(self.limits, phase)
            self._timer = self.loop.call_later(seconds, self._give_up, phase, seconds)

    def _idle_gives_way(self) -> bool:
        """End the connection that has asked nothing for longest, if there is one."""
        idle = [one for one in self.connections if one._phase == "idle"]
        if idle:
            min(idle, key=lambda one: one._since).timeout_keep_alive_handler()
        return bool(idle)

    def _give_up(self, phase: str, seconds: float) -> None:
        if phase != "body" and not self.conn.trailing_data[0]:  # nothing was asked
            self.transport.abort()
        else:
            self._send_away(408, f"the {phase} of a request must come within {seconds:g} s")

    def _send_away(self, status: int, text: str, *headers: str) -> None:
        """Answer if nothing was answered yet, and end the connection."""
        fresh = (
            self.cycle is None or not self.cycle.response_started or self.cycle.response_complete
        )
        if fresh and not self.transport.is_closing():
            self.transport.write(plain_answer(status, text, *headers))
            self.transport.close()
            self.loop.call_later(1.0, self.transport.abort)  # a client that takes nothing
        else:
            self.transport.abort()

    def _stop(self) -> None:
        for timer in (self._timer, self._taking):
            if timer is not None:
                timer.cancel()


def plain_answer(status: int, text: str, *headers: str) -> bytes:
    """A whole answer as bytes, for a client whose request no app has seen."""
    body = json.dumps({"error": text}).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class QuietServer(uvicorn.Server):
    """A server whose log does not grow with what clients do."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(TellSometimes())
        await super().startup(sockets)


class TellSometimes:
    """What goes wrong in the event loop, at most once in `every` seconds for each kind."""

    def __init__(self, every: float = 60.0) -> None:
        self.every = every
        self._told: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def __call__(self, _: Any, context: dict[str, Any]) -> None:
        kind, now = str(context.get("message", "")), time.monotonic()
        if now - self._told.get(kind, -self.every) < self.every:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return
        more = self._left_out.pop(kind, 0)
        self._told[kind] = now
        again = f" (and {more} times since the last line)" if more else ""
        log.error("%s: %s%s", kind, context.get("exception", ""), again)


def server_of(
    app: Any, host: str, port: int, limits: Limits | None = None
) -> tuple[uvicorn.Server, socket.socket]:
    """A server and the socket on which it listens already; `run([socket])` serves."""
    limits = limits or Limits()
    protocol = type("Protocol", (PatientProtocol,), {"limits": limits, "at_once": limits.at_once})
    config = uvicorn.Config(
        app,
        host,
        port,
        http=protocol,
        ws="none",
        log_level="error",
        access_log=False,
        backlog=BACKLOG,
        timeout_keep_alive=2 * math.ceil(limits.idle),  # ours ends it before
        timeout_graceful_shutdown=30,
        proxy_headers=False,  # the client is the connected one; headers cannot change it
        server_header=False,
    )
    listening = config.bind_socket()
    listening.listen(config.backlog)  # connections are accepted before the address is printed
    return QuietServer(config), listening


def serve_app(
    app: Any, host: str, port: int, say: Callable[[str], None], limits: Limits | None = None
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are answered."""
    server, listening = server_of(app, host, port, limits)
    say(f"http://{host}:{listening.getsockname()[1]}")
    sys.stderr.flush()
    with suppress(KeyboardInterrupt):  # the usual way to stop it
        server.run([listening])
