"""The HTTP service: images in, decisions out. Every error is JSON with one key, `error`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from tasks.models.served import ChampionWatch, Served
from tasks.monitoring.part_id import part_of_request
from tasks.sinks.telling import Telling
from tasks.web.answers import add_answers
from tasks.web.refused import Refused, has_token, unauthorised
from tasks.web.serving.batching import Batches
from tasks.web.serving.handling import RequestHandler
from tasks.web.serving.metrics import Metrics
from tasks.web.serving.upload import Settings, read_body
from tasks.workspace.errors import DataError, hint


def create_app(
    served: list[Served],
    settings: Settings,
    token: str = "",
    every: float = 10.0,
    telling: Telling | None = None,
) -> FastAPI:
    """The service. token: the token that clients must send, if any; every: seconds between checks
    for new champions; telling: to whom each result is told, beside the client."""
    metrics = Metrics(served, telling)
    handler = RequestHandler(Batches(settings.batch, metrics.batch.observe), settings, telling)
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
        if telling:
            telling.close()

    # no pages of FastAPI's own: they load scripts from the internet
    app = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    private = APIRouter(dependencies=[Depends(_guard(token))])

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """degraded: it inspects, but the last look for a champion failed, or none is made."""
        trouble = watch.trouble or any(one.trouble for one in served)
        return {"status": "degraded" if trouble else "ok"}

    @private.get("/metrics")
    async def scrape() -> Response:
        return Response(metrics.text(handler.budget.at_work), media_type=CONTENT_TYPE_LATEST)

    @private.get("/products")
    async def champions() -> list[dict[str, Any]]:
        return [one.about() for one in served]

    @private.post("/products/{product}/inspect")
    async def inspect(
        product: str, request: Request, heat_map: bool = False, part: str | None = None
    ) -> dict[str, Any]:
        if product not in products:
            raise Refused(404, f"no product '{product}' is served; {hint(product, products)}")
        named = _part(request, part)
        async with handler.slot() as count:
            with metrics.waiting.track_inprogress():
                data = await read_body(request, settings, count)
                began = time.perf_counter()
                answer = await handler.inspect(products[product], data, heat_map, named)
        metrics.seconds.labels(product).observe(time.perf_counter() - began)
        metrics.decisions.labels(product, answer["decision"]).inc()
        return answer

    add_answers(app, lambda status: metrics.refused.labels(status).inc())
    app.include_router(private)
    return app


def _part(request: Request, field: str | None) -> str | None:
    """The part id of a request, if it has one: 422 for what cannot be one."""
    try:
        return part_of_request(request.headers, field)
    except DataError as error:
        raise Refused(422, str(error)) from None


def _guard(token: str) -> Any:
    """A check of the request's token."""

    async def check(request: Request) -> None:
        if token and not has_token(request, token):
            raise unauthorised()

    return check
