"""What the board starts for a person: runs. The pages ask for it here."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from tasks.products.changing import one_line
from tasks.spec.schema import Section
from tasks.web.board.access import Access
from tasks.web.board.answers import json_body, parsed
from tasks.web.board.runs import Runs
from tasks.web.board.users import Person
from tasks.web.refused import Refused
from tasks.workspace.errors import hint
from tasks.workspace.paths import Workspace

JsonObject = dict[str, Any]
Offset = Annotated[int | None, Query(ge=0, le=1 << 50)]


class Asked(Section):
    """by: who asks, where no token says it."""

    by: Annotated[str, Field(max_length=100)] = ""

    def who(self, person: Person) -> str:
        return person.name or f"{one_line(self.by, 'the name')} (board)"


class Begin(Asked):
    products: Annotated[list[str], Field(max_length=10_000)]  # none: all


class Stop(Asked):
    pid: Annotated[int, Field(gt=0, lt=1 << 31)]  # of the run that the page showed


def run_routes(workspace: Workspace, access: Access, runs: Runs) -> APIRouter:
    """Start, stop and follow runs."""

    Writer = Annotated[Person, Depends(access.writer)]  # noqa: N806, a type
    router = APIRouter()

    @router.post("/runs")
    async def begin(request: Request, person: Writer) -> JsonObject:
        asked = parsed(Begin, await json_body(request))
        for product in asked.products:
            if product not in workspace.products:
                known = hint(product, workspace.products)
                raise Refused(404, f"there is no product '{product}'; {known}")
        if not workspace.products:
            raise Refused(409, "there is no product yet; begin one first")
        return await run_in_threadpool(runs.begin, asked.products, asked.who(person))

    @router.post("/runs/stop")
    async def stop(request: Request, person: Writer) -> JsonObject:
        asked = parsed(Stop, await json_body(request))
        return await run_in_threadpool(runs.stop, asked.who(person), asked.pid)

    @router.get("/runs/output", dependencies=[Depends(access.reader)])
    def output(name: str | None = None, at: Offset = None) -> JsonObject:
        return runs.output(name, at)

    return router
