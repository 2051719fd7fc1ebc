"""Results by HTTP: one POST for each, signed so that the receiver knows who sent it."""

import hashlib
import hmac
import json
import os

from tasks.sinks.outbox import Message
from tasks.spec.schema import Sink as SinkSpec
from tasks.workspace.errors import AwayError

SIGNATURE = "X-Inspectline-Signature"
PATIENCE = 10.0  # seconds for an answer


def signature(body: bytes, secret: str) -> str:
    """`sha256=` and the HMAC-SHA256 of a body in hexadecimal digits."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class WebhookSink:
    """An answer of 2xx acknowledges a result; anything else is tried again, in order."""

    def __init__(self, spec: SinkSpec) -> None:
        import httpx

        self.url = spec.to
        self.secret = os.environ.get(spec.secret, "")
        self._client = httpx.Client(timeout=PATIENCE)

    def send(self, messages: list[Message]) -> list[Message]:
        """They are sent one by one; what follows one that is not taken waits with it."""
        done: list[Message] = []
        for one in messages:
            if trouble := self._post(one):
                if done:
                    break
                raise AwayError(trouble)
            done.append(one)
        return done

    def _post(self, message: Message) -> str:
        """Why a result was not taken; empty where it was."""
        import httpx

        body = json.dumps(message.body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": header(message.key)}
        if self.secret:
            headers[SIGNATURE] = signature(body, self.secret)
        try:
            answer = self._client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            return f"{type(error).__name__}: {error}"
        return "" if answer.is_success else f"it answers {answer.status_code}"

    def close(self) -> None:
        """Idle connections close by themselves."""


def header(key: str) -> str:
    """A key as a header can carry it."""
    return key if key.isascii() else hashlib.sha256(key.encode()).hexdigest()
