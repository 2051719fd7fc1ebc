"""Handle one request from its bytes to its answer, with a limit on requests in memory."""

import asyncio
import base64
import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from tasks.images.decode import Picture
from tasks.monitoring.log import PredictionLog, record_of
from tasks.web.refused import Refused
from tasks.web.serving.batching import Answer, Batches
from tasks.web.serving.served import Served
from tasks.web.serving.upload import Settings, decode_upload
from tasks.workspace.errors import DataError

THREADS = 4  # that decode and draw
log = logging.getLogger(__name__)


class RequestHandler:
    def __init__(self, batches: Batches, settings: Settings) -> None:
        self.batches = batches
        self.settings = settings
        self._active = 0
        self._threads = CapacityLimiter(THREADS)
        # uploads are small; decoded images are large: only enough for the next batch
        self._decoded = asyncio.Semaphore(2 * settings.batch)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """A place for one request, from its first byte to its answer; Refused if all are taken."""
        if self._active >= self.settings.waiting:
            text = f"{self._active} images are being inspected; send this one again in a second"
            raise Refused(503, text, {"Retry-After": "1"})
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    async def inspect(self, served: Served, data: bytes, heat_map: bool) -> dict[str, Any]:
        """The same result as `predict`, and the heat map if requested."""
        async with self._decoded:
            picture = await self._aside(decode_upload, data, self.settings)
            image = await self._aside(_unit, picture)
            try:
                answer = await asyncio.wrap_future(self.batches.submit(served, image))
                return await self._aside(self._answer, served, answer, picture, image, heat_map)
            except DataError as error:  # it is smaller than the region of interest, or such
                raise Refused(422, str(error)) from None
            except Exception:  # otherwise it would close the connection
                log.exception("%s: an inspection failed", served.product)
                raise Refused(500, "the inspection failed; the service's log says why") from None

    def _answer(
        self, served: Served, answer: Answer, picture: Picture, image: np.ndarray, heat_map: bool
    ) -> dict[str, Any]:
        by = answer.by
        result = by.model.result(answer.found)
        self._log(served.product, picture, result, by.release)
        who = {"product": served.product, "release": by.release, "algorithm": by.algorithm}
        body = {**who, **result}
        if heat_map:
            memory = io.BytesIO()
            by.model.picture(image, answer.found).save(memory, "PNG", compress_level=1)
            body["heat_map"] = base64.b64encode(memory.getvalue()).decode()
        return body

    def _log(self, product: str, picture: Picture, result: dict[str, Any], release: str) -> None:
        """If the disk is full, the record is lost but the inspection succeeds."""
        if self.settings.log is None:
            return
        try:
            record = record_of(picture, result, release, None)
            PredictionLog(self.settings.log, product).add(record)
        except OSError as error:
            log.error("%s: the prediction is not logged: %s", product, error)

    async def _aside(self, function: Any, *arguments: Any) -> Any:
        return await run_sync(function, *arguments, limiter=self._threads)


def _unit(picture: Picture) -> np.ndarray:
    return picture.unit
