"""Answers of the board: bodies within limits, the status of each error of ours."""

import asyncio
import hashlib
import json
from typing import Any, Never, TypeVar

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from tasks.web.answers import Answer, add_answers, error_answer
from tasks.web.board.changes import LARGEST, Change
from tasks.web.board.users import OWNER, Person
from tasks.web.refused import Refused
from tasks.workspace.errors import (
    BusyError,
    ChangedError,
    ConflictError,
    LineError,
    MissingError,
    StoreError,
    hint,
)
from tasks.workspace.paths import Workspace

PATIENCE = 10.0  # seconds for a client to send it
STATUS: list[tuple[type[LineError], int]] = [
    (ChangedError, 409),
    (ConflictError, 409),
    (MissingError, 409),
    (BusyError, 423),
    (StoreError, 503),
    (LineError, 422),
]


def add_board_answers(app: FastAPI) -> None:
    """What every service answers, and our errors and those of the machine with their status."""
    add_answers(app)

    @app.exception_handler(LineError)
    async def wrong(_: Request, error: LineError) -> Answer:
        return error_answer(status_of(error), str(error))

    @app.exception_handler(OSError)
    async def machine(_: Request, error: OSError) -> Answer:
        where = f"{error.filename}: " if error.filename else ""
        return error_answer(507, f"{where}{error.strerror or error}")


def status_of(error: LineError) -> int:
    return next(status for kind, status in STATUS if isinstance(error, kind))


async def json_body(request: Request, most: int = LARGEST) -> dict[str, Any]:
    """The JSON object in a request; a body that is too large is not read to its end."""
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise Refused(413, f"a change has at most {most} bytes")
    except TimeoutError:
        raise Refused(408, f"no whole body within {PATIENCE:g} s; send it again") from None
    except ClientDisconnect:
        raise Refused(400, "the client went away") from None
    try:
        found = json.loads(data, parse_constant=no_number)
        json.dumps(found, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"this is not JSON: {str(error) or 'it is nested too deeply'}") from None
    if not isinstance(found, dict):
        raise Refused(400, "send a JSON object")
    return found


def no_number(name: str) -> Never:
    raise ValueError(f"{name} is no number of JSON")


S = TypeVar("S", bound=BaseModel)


def parsed(kind: type[S], body: dict[str, Any]) -> S:
    """What a body asks for; Refused with all wrong keys."""
    try:
        return kind(**body)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors()]
        raise Refused(422, "; ".join(wrong)) from None


def parse_change(kind: type[Change], body: dict[str, Any], person: Person = OWNER) -> Change:
    """The change in a body, by a person. A name that is verified stands in place of the body's."""
    verified = {"by": person.name} if person.name else {}
    change = parsed(kind, body | verified)
    change._verified = bool(verified)
    return change


def cached_response(request: Request, content: bytes, kind: str) -> Response:
    """The content, or 304 if the browser already has it."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def check_product(workspace: Workspace, product: str) -> None:
    """Refused unless there is a product of this name."""
    if product not in workspace.products:
        raise Refused(404, f"there is no product '{product}'; {hint(product, workspace.products)}")
