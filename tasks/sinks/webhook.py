"""Results by HTTP: one POST for each, signed so that the receiver knows who sent it."""

import hashlib
import hmac
import json
import os
import time
from contextlib import suppress
from typing import Any

from tasks.sinks.outbox import Message, RefusedError
from tasks.spec.schema import Sink as SinkSpec
from tasks.workspace.errors import AwayError

SIGNATURE = "X-Inspectline-Signature"
PATIENCE = 10.0  # seconds for an answer
LATER = (408, 425, 429)  # answers of 4xx that mean: not now
ANSWER = 1 << 16  # bytes of an answer that are read, so that the next result has the connection


def signature(body: bytes, secret: str) -> str:
    """`sha256=` and the HMAC-SHA256 of a body in hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class WebhookSink:
    """An answer of 2xx acknowledges a result. One of 4xx refuses it for good, but for LATER; after
    anything else it is tried again, in order."""

    def __init__(self, spec: SinkSpec) -> None:
        import httpx

        self.url = spec.to
        self.secret = os.environ.get(spec.secret, "")
        self._client = httpx.Client(timeout=PATIENCE)

    def send(self, messages: list[Message]) -> list[Message]:
        """They are sent one by one; what follows one that is not taken waits with it."""
        done: list[Message] = []
        for one in messages:
            trouble, status = self._post(one)
            if 400 <= status < 500 and status not in LATER:
                raise RefusedError(trouble, one, done)
            if trouble:
                if done:
                    break
                raise AwayError(trouble)
            done.append(one)
        return done

    def _post(self, message: Message) -> tuple[str, int]:
        """Why a result was not taken, empty where it was, and the status of the answer, 0 without
        one."""
        import httpx

        body = json.dumps(message.body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": header(message.key)}
        if self.secret:
            headers[SIGNATURE] = signature(body, self.secret)
        try:
            with self._client.stream("POST", self.url, content=body, headers=headers) as answer:
                _pass_over(answer)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}", 0
        why = "" if answer.is_success else f"it answers {answer.status_code}"
        return why, answer.status_code

    def close(self) -> None:
        """Idle connections close by themselves."""


def _pass_over(answer: Any) -> None:
    """Read a short answer to its end; one that is long, or does not end, is left."""
    import httpx

    size, until = 0, time.monotonic() + PATIENCE
    with suppress(httpx.HTTPError):  # its first line has told all
        for chunk in answer.iter_raw():
            size += len(chunk)
            if size > ANSWER or time.monotonic() > until:
                return


def header(key: str) -> str:
    """A key as a header can carry it."""
    return key if key.isascii() else hashlib.sha256(key.encode()).hexdigest()
