"""The board over HTTP: a page, and a few changes by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Never

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool

from tasks.models.warm import WarmChampion
from tasks.web.board.access import Access
from tasks.web.board.answers import (
    add_board_answers,
    cached_response,
    check_product,
    json_body,
    parse_change,
)
from tasks.web.board.changes import CHANGES, product_state
from tasks.web.board.drawing import drawing_routes
from tasks.web.board.drop_routes import drop_routes
from tasks.web.board.drops import Drops
from tasks.web.board.live import live_routes
from tasks.web.board.login import add_login
from tasks.web.board.now import current_state
from tasks.web.board.pages import Pages
from tasks.web.board.run_routes import run_routes
from tasks.web.board.runs import Runs, Start
from tasks.web.board.taking import Taking
from tasks.web.board.trying import try_routes
from tasks.web.board.users import Person
from tasks.web.refused import Refused
from tasks.workspace.errors import hint
from tasks.workspace.paths import Workspace

Server = Callable[[], dict[str, Any] | None]


def create_app(
    workspace: Workspace,
    access: Access,
    server: Server = lambda: None,
    start: Start | None = None,
    log: Path | None = None,
) -> FastAPI:
    """server: gives the queue of a Prefect server; None without a server. start: starts a command;
    without it the board starts none. log: folder of the log of predictions; None: `log` of the
    workspace."""
    # without FastAPI's own pages: they load scripts from the internet
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages = Pages(workspace)
    runs = Runs(workspace, start or no_start)
    add_page(app, access, pages)
    add_login(app, access)
    add_board_answers(app)
    app.include_router(read_routes(workspace, access, pages, server, runs))
    app.include_router(run_routes(workspace, access, runs))
    app.include_router(drop_routes(access, Drops(workspace), Taking(workspace, runs.start)))
    warm = WarmChampion(workspace)
    app.include_router(try_routes(workspace, access, warm))
    app.include_router(drawing_routes(workspace, access, warm))
    app.include_router(live_routes(workspace, access, log))
    app.include_router(change_routes(workspace, access))  # last: it takes any name
    return app


def add_page(app: FastAPI, access: Access, pages: Pages) -> None:
    """The page; without a token a client is sent to the login."""

    @app.get("/")
    async def page(request: Request) -> Response:
        try:
            access.check(request)
        except Refused as refused:
            if refused.status != 401:
                raise
            return RedirectResponse("/login", 303)
        html = await run_in_threadpool(pages.html)
        return cached_response(request, html.encode("utf-8", "replace"), "text/html; charset=utf-8")

    @app.get("/favicon.ico")
    async def icon() -> Response:
        """Empty, so that the browser's console shows no error."""
        return Response(status_code=204)


def no_start(*_: Any) -> Never:
    raise Refused(409, "this board starts no commands")


def read_routes(
    workspace: Workspace, access: Access, pages: Pages, server: Server, runs: Runs
) -> APIRouter:
    router = APIRouter(dependencies=[Depends(access.reader)])

    @router.get("/progress")
    def progress(request: Request) -> dict[str, Any]:
        person, state, begun = access.person(request), current_state(workspace), runs.now()
        working = state["run"] and state["run"]["state"] in ("working", "finishing")
        return {
            **state,
            "planning": state["planning"] or bool(begun and begun["alive"] and not working),
            "stamp": pages.stamp(),
            "pending": pages.pending(),
            "begun": begun,
            "held": runs.held(),
            "server": server(),
            "private": access.has_session(request),  # the client may log out
            "may_change": person is not None and person.may("label"),
            "user": person.name if person else "",
            "role": person.role if person else "",
        }

    @router.get("/products/{product}")
    def product_now(product: str) -> dict[str, Any]:
        check_product(workspace, product)
        return product_state(workspace, product)

    @router.get("/pictures/{product}/{model}/{kind}/{index}")
    def picture(request: Request, product: str, model: str, kind: str, index: int) -> Response:
        found = pages.picture(product, model, kind, index)
        if found is None:
            raise Refused(404, "there is no such picture")
        return cached_response(request, found, "image/webp")

    return router


def change_routes(workspace: Workspace, access: Access) -> APIRouter:
    async def check(request: Request) -> Person:
        kind = CHANGES.get(request.path_params.get("kind", ""))
        return access.check_write(request, kind.role if kind else "label")

    router = APIRouter(dependencies=[Depends(check)])

    @router.post("/products/{product}/{kind}")
    async def change(
        product: str, kind: str, request: Request, person: Annotated[Person, Depends(check)]
    ) -> dict[str, Any]:
        check_product(workspace, product)
        if kind not in CHANGES:
            raise Refused(404, f"there is no '{kind}' to change; {hint(kind, CHANGES)}")
        body = await json_body(request, CHANGES[kind].largest)
        asked = parse_change(CHANGES[kind], body, person)
        return await run_in_threadpool(asked.carry_out, workspace, product)

    return router
