"""Try a picture on a product's champion: the verdict at once, and nothing is kept."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from tasks.models.warm import WarmChampion
from tasks.web.board.access import BYTES, Access
from tasks.web.board.answers import check_product
from tasks.web.refused import Refused
from tasks.web.serving.upload import NAME, Settings, pixels_of_upload, read_body
from tasks.workspace.paths import Workspace

LIMITS = Settings(upload_mb=64.0, megapixels=50.0)
WAITING = 4  # pictures at once, of which one is inspected


class Places:
    """Room for a few uploads in memory at once."""

    def __init__(self, most: int = WAITING) -> None:
        self.free = most

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for one upload; Refused where all are taken."""
        if not self.free:
            text = "other pictures are being tried; send this one again in a second"
            raise Refused(503, text, {"Retry-After": "1"})
        self.free -= 1
        try:
            yield
        finally:
            self.free += 1


def try_routes(workspace: Workspace, access: Access, warm: WarmChampion) -> APIRouter:
    """Who may read may try: nothing is changed. But no user who may only look: it takes work."""
    places = Places()

    async def check(request: Request) -> None:
        access.check(request)
        access.check_page(request, BYTES)
        access.check_role(request, "label")

    router = APIRouter(dependencies=[Depends(check)])

    @router.post("/products/{product}/try")
    async def inspect(product: str, request: Request) -> dict[str, Any]:
        check_product(workspace, product)
        with places.one():
            data = await read_body(request, LIMITS)
            pixels_of_upload(data, LIMITS)
            return await run_in_threadpool(warm.inspect, product, data, NAME)

    return router
