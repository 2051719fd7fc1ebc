"""Answers of every service here: an error is always `{"error": ...}`, and headers are safe."""

import json
import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tasks.web.refused import Refused

PAGE = "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"  # the rest stands in the page
SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
log = logging.getLogger(__name__)


class Answer(JSONResponse):
    """JSON, also of a text that is no Unicode, as the name of a file may be."""

    def render(self, content: Any) -> bytes:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "replace")


def error_answer(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer({"error": text}, status, headers)


def add_answers(app: FastAPI, count: Callable[[int], None] = lambda status: None) -> None:
    """Every error as `{"error": ...}`, and safe headers on every answer.

    count: called with the status of each answer that is an error.
    """
    app.router.default_response_class = Answer
    app.add_middleware(Guard, count=count)

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> Answer:
        return error_answer(error.status, str(error), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Answer:
        return error_answer(422, "; ".join(sorted(set(map(_fault, error.errors())))))

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Answer:
        return error_answer(error.status_code, str(error.detail), dict(error.headers or {}))


def _fault(error: Any) -> str:
    return f"{error['loc'][-1]}: {str(error['msg']).lower()}"


class Guard:
    """Around an app: headers, and an answer where the app fails; the log says why."""

    def __init__(self, app: ASGIApp, count: Callable[[int], None]) -> None:
        self.app, self.count = app, count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begun = False

        async def guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if message["status"] != 304:  # its headers would replace those of the kept answer
                    _make_safe(MutableHeaders(scope=message))
                if message["status"] >= 400:
                    self.count(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, guarded)
        except Exception:
            log.exception("%s %r failed", scope["method"], scope["path"])
            if begun:
                raise
            text = "this failed inside the service; its log says why"
            await error_answer(500, text)(scope, receive, guarded)


def _make_safe(headers: MutableHeaders) -> None:
    html = headers.get("content-type", "").startswith("text/html")
    headers.setdefault("Content-Security-Policy", PAGE if html else f"default-src 'none'; {PAGE}")
    for name, value in SAFE.items():
        headers.setdefault(name, value)
