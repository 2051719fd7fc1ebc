"""The HTTP service: images in, decisions out. Every error is JSON with one key, `error`."""

import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST

from tasks.models.served import ChampionWatch, Served
from tasks.monitoring.part_id import part_of_request
from tasks.monitoring.traces import Traces
from tasks.sinks.telling import Telling
from tasks.web.answers import add_answers
from tasks.web.refused import Refused, has_token, unauthorised
from tasks.web.serving.answer import INSPECTION, RESPONSES
from tasks.web.serving.batching import Batches
from tasks.web.serving.handling import RequestHandler
from tasks.web.serving.metrics import Metrics
from tasks.web.serving.pages import docs_page, front_page
from tasks.web.serving.upload import Settings, read_body
from tasks.workspace.errors import DataError, hint

REQUEST = "X-Request-Id"
WithMap = Annotated[bool, Query(description="Whether to add a heat map.")]
PartField = Annotated[str | None, Query(description="Id of the part, where the header has none.")]
PartHeader = Annotated[str | None, Header(description="Id of the part; by default a fresh one.")]


def create_app(
    served: list[Served],
    settings: Settings,
    token: str = "",
    every: float = 10.0,
    telling: Telling | None = None,
    traces: Traces | None = None,
) -> FastAPI:
    """The service. token: the token that clients must send, if any; every: seconds between checks
    for new champions; telling: to whom each result is told, beside the client."""
    metrics = Metrics(served, telling)
    batches = Batches(settings.batch, metrics.batch.observe)
    handler = RequestHandler(batches, settings, telling, traces)
    products = {one.product: one for one in served}
    watch = ChampionWatch(served, every)

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        watch.start()
        if telling:
            telling.start()
        yield
        watch.stop()
        handler.batches.close()
        for one in (telling, traces):
            if one:
                one.close()

    # no pages of FastAPI's own: they load scripts from the internet
    none: dict[str, Any] = {"docs_url": None, "redoc_url": None, "openapi_url": None}
    app = FastAPI(title="inspectline", version=version("inspectline"), lifespan=life, **none)
    private = APIRouter(dependencies=[Depends(_guard(token))])

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """degraded: it inspects, but the last look for a champion failed, or none is made."""
        trouble = watch.trouble or any(one.trouble for one in served)
        return {"status": "degraded" if trouble else "ok"}

    @private.get("/", include_in_schema=False)
    async def front() -> HTMLResponse:
        return HTMLResponse(front_page(app.version, list(products)))

    @private.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    @private.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return app.openapi()

    @private.get("/metrics")
    async def scrape() -> Response:
        """Figures in the text format of Prometheus."""
        return Response(metrics.text(handler.budget.at_work), media_type=CONTENT_TYPE_LATEST)

    @private.get("/products")
    async def champions() -> list[dict[str, Any]]:
        """The products that are served, and which release inspects each."""
        return [one.about() for one in served]

    @private.post("/products/{product}/inspect", responses=RESPONSES, openapi_extra=INSPECTION)
    async def inspect(
        product: str,
        request: Request,
        response: Response,
        heat_map: WithMap = False,
        part: PartField = None,
        x_part_id: PartHeader = None,
    ) -> dict[str, Any]:
        """Inspect an image with the champion of a product."""
        if product not in products:
            raise Refused(404, f"no product '{product}' is served; {hint(product, products)}")
        named = _part(x_part_id, part)
        asked = response.headers[REQUEST] = request_id(request)
        facts = {"product": product, "request": asked}
        with handler.traces.span("inspect", request.headers, **facts) as note:
            async with handler.slot() as count:
                with metrics.waiting.track_inprogress():
                    data = await read_body(request, settings, count)
                    began = time.perf_counter()
                    answer = await handler.inspect(products[product], data, heat_map, named)
            note(**{key: answer[key] for key in ("part", "release", "decision")})
        metrics.seconds.labels(product).observe(time.perf_counter() - began)
        metrics.decisions.labels(product, answer["decision"]).inc()
        return answer

    add_answers(app, lambda status: metrics.refused.labels(status).inc())
    app.include_router(private)
    return app


def request_id(request: Request) -> str:
    """The id that a proxy or client gave a request, or a fresh one."""
    given = request.headers.get(REQUEST, "")
    return given if re.fullmatch(r"[\w.:-]{1,128}", given, re.ASCII) else uuid.uuid4().hex


def _part(header: str | None, field: str | None) -> str | None:
    """The part id of a request, if it has one: 422 for what cannot be one."""
    try:
        return part_of_request(header, field)
    except DataError as error:
        raise Refused(422, str(error)) from None


def _guard(token: str) -> Any:
    """A check of the request's token."""

    async def check(request: Request) -> None:
        if token and not has_token(request, token):
            raise unauthorised()

    return check
