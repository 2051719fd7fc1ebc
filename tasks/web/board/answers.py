"""Answers of the board: limited bodies, errors as JSON, the same headers everywhere."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from tasks.web.board.changes import Change
from tasks.web.refused import Refused
from tasks.workspace.errors import BusyError, ChangedError, ConflictError, LineError, StoreError

LARGEST = 65536  # largest body of a change, bytes
SAFE = {  # besides the policy inside a page
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STATUS: list[tuple[type[LineError], int]] = [
    (ChangedError, 409),
    (ConflictError, 409),
    (BusyError, 423),
    (StoreError, 503),
    (LineError, 422),
]


def add_answers(app: FastAPI) -> None:
    """Errors as `{"error": ...}`, and the SAFE headers on every answer."""

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await call(request)
        for name, value in SAFE.items():
            answer.headers.setdefault(name, value)
        return answer

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Refused) -> JSONResponse:
        return JSONResponse({"error": str(error)}, error.status, error.headers)

    @app.exception_handler(LineError)
    async def wrong(_: Request, error: LineError) -> JSONResponse:
        status = next(status for kind, status in STATUS if isinstance(error, kind))
        return JSONResponse({"error": str(error)}, status)

    @app.exception_handler(OSError)
    async def machine(_: Request, error: OSError) -> JSONResponse:
        where = f"{error.filename}: " if error.filename else ""
        return JSONResponse({"error": f"{where}{error.strerror or error}"}, 507)

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)


async def json_body(request: Request) -> dict[str, Any]:
    """The JSON object in a request; a body that is too large is not read to its end."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST:
            raise Refused(413, f"a change has at most {LARGEST} bytes")
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Refused(400, f"this is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refused(400, "send a JSON object")
    return found


def parse_change(kind: Callable[..., Change], body: dict[str, Any]) -> Change:
    """The change in a body; Refused with all wrong keys."""
    try:
        return kind(**body)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
        raise Refused(422, "; ".join(wrong)) from None


def cached_response(request: Request, content: bytes, kind: str) -> Response:
    """The content, or 304 if the browser already has it."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
