"""Files from the page into a product: opened, filled one file at a time, taken, or forgotten."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from tasks.spec.schema import Section
from tasks.web.board.access import BYTES, Access
from tasks.web.board.answers import json_body, parsed
from tasks.web.board.drop import Drop
from tasks.web.board.drops import FILES, LARGEST, Drops
from tasks.web.board.run_routes import Asked
from tasks.web.board.taking import Taking
from tasks.web.board.users import Person
from tasks.web.refused import Refused

PATIENCE = 300.0  # seconds for one file
FileName = Annotated[str, Query(min_length=1, max_length=1000)]
Kind = Annotated[str, Query(alias="as", max_length=100)]
JsonObject = dict[str, Any]


class Opened(Section):
    product: Annotated[str, Field(max_length=200)]
    new: bool = False


def drop_routes(access: Access, drops: Drops, taking: Taking) -> APIRouter:
    Writer = Annotated[Person, Depends(access.writer)]  # noqa: N806, a type
    router = APIRouter(prefix="/drops")

    @router.post("")
    async def open_drop(request: Request, person: Writer) -> JsonObject:
        asked = parsed(Opened, await json_body(request))
        if asked.new:
            access.check_write(request, "promote")
        name = await run_in_threadpool(drops.open, asked.product, asked.new)
        return {"drop": name, "largest": LARGEST, "files": FILES}

    @router.post("/{drop}/files")
    async def add(request: Request, drop: str, name: FileName, kind: Kind) -> JsonObject:
        access.check_write(request, kind=BYTES)
        found = drops.drop(drop)
        access.check_write(request, found.role, BYTES)
        length = request.headers.get("content-length", "")
        size = int(length) if length.isdecimal() and len(length) < 20 else LARGEST
        if size > LARGEST:
            raise too_large(name)
        part = await run_in_threadpool(drops.room, found, size)
        try:
            await receive(request, part, name)
            return await run_in_threadpool(drops.add, found, part, name, kind)
        finally:
            part.unlink(missing_ok=True)

    @router.post("/{drop}/take")
    async def take(request: Request, drop: str, person: Writer) -> JsonObject:
        asked = parsed(Asked, await json_body(request))
        found = of(request, drop)
        taking.begin(found, asked.who(person))
        return found.told()

    @router.post("/{drop}/forget")
    async def forget(request: Request, drop: str, person: Writer) -> JsonObject:
        await json_body(request)
        of(request, drop)
        await run_in_threadpool(drops.close, drop)
        return {}

    @router.get("/{drop}", dependencies=[Depends(access.reader)])
    def work(drop: str) -> JsonObject:
        return drops.drop(drop).told()

    def of(request: Request, drop: str) -> Drop:
        """A drop, for who may fill and take it."""
        found = drops.drop(drop)
        access.check_write(request, found.role)
        return found

    return router


async def receive(request: Request, part: Path, name: str) -> None:
    """Write a body to a file; Refused where it is too large, or does not come to its end."""
    size = 0
    try:
        async with asyncio.timeout(PATIENCE):
            with part.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > LARGEST:
                        raise too_large(name)
                    file.write(chunk)
    except TimeoutError:
        raise Refused(408, f"{name}: not whole within {PATIENCE:g} s; send it again") from None
    except ClientDisconnect:
        raise Refused(400, f"{name}: the client went away") from None


def too_large(name: str) -> Refused:
    return Refused(413, f"{name}: larger than {LARGEST / 1e6:g} MB; scale the image down")
