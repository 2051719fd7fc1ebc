"""Login: exchange a token for a cookie that scripts cannot read and other sites cannot use."""

import asyncio

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from tasks.web.answers import Answer
from tasks.web.board.access import COOKIE, SESSION, Access
from tasks.web.board.answers import json_body
from tasks.web.board.pages import login_page
from tasks.web.refused import Refused

WRONG = 1.0  # seconds of delay after a wrong token; the right one waits for nobody


def add_login(app: FastAPI, access: Access) -> None:
    @app.get("/login")
    async def form(request: Request) -> Response:
        access.check_name(request)
        return HTMLResponse(login_page())

    @app.post("/login")
    async def login(request: Request) -> Response:
        access.check_name(request)
        access.check_page(request)
        given = str((await json_body(request)).get("token", ""))
        holder = access.holder_of(given.encode("utf-8", "surrogatepass"))
        if holder is None:
            await asyncio.sleep(WRONG)
            raise Refused(401, "this is no token of this board")
        answer = Answer({})
        secure = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
        answer.set_cookie(
            COOKIE,
            access.sessions.begin(holder),
            SESSION,
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return answer

    @app.post("/logout")
    async def logout(request: Request) -> Response:
        access.check_name(request)
        access.check_page(request)
        access.sessions.end(request.cookies.get(COOKIE, ""))
        answer = Answer({})
        answer.delete_cookie(COOKIE)
        return answer
