"""Handle one request from its bytes to its answer, with limits on what is in memory at once."""

import asyncio
import base64
import io
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from tasks.documents.result import result_of
from tasks.images.decode import file_format
from tasks.models.inspector import Inspection, Prepared
from tasks.models.served import Champion, Served
from tasks.monitoring.log import PredictionLog, look, record_of_look
from tasks.monitoring.part_id import identity
from tasks.monitoring.traces import Traces
from tasks.sinks.telling import Telling
from tasks.web.refused import Refused
from tasks.web.serving.batching import Batches
from tasks.web.serving.budget import PixelBudget
from tasks.web.serving.upload import NAME, Settings, decode_upload, pixels_of_upload
from tasks.workspace import clock
from tasks.workspace.errors import DataError, LineError

THREADS = 4  # that decode and draw
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What is kept of an image until its answer: little, whatever its size."""

    prepared: Prepared
    background: np.ndarray | None  # (h, w, 1) of the heat map, if one was asked for
    looked: dict[str, Any] | None  # for the log, if there is one
    named: dict[str, str]  # part and sha256


class RequestHandler:
    def __init__(
        self,
        batches: Batches,
        settings: Settings,
        telling: Telling | None = None,
        traces: Traces | None = None,
    ) -> None:
        """telling: to whom each result is told, beside the client; traces: of what takes time."""
        self.traces = traces or Traces()
        self.batches = batches
        self.telling = telling
        self.settings = settings
        self.budget = PixelBudget(max(1, round(settings.at_work * 1e6)))
        self._active = 0
        self._bytes = 0
        self._threads = CapacityLimiter(THREADS)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Callable[[int], None]]:
        """A place for one request, from its first byte to its answer; Refused if all are taken.

        It gives a function that is told of bytes that came, and refuses where they are too many.
        """
        if self._active >= self.settings.waiting:
            raise later(f"{self._active} images are being inspected")
        held = 0

        def count(more: int) -> None:
            nonlocal held
            if self._bytes + more > self.settings.waiting_mb * 1e6:
                raise later(f"uploads of {self._bytes / 1e6:.0f} MB are being inspected")
            held += more
            self._bytes += more

        self._active += 1
        try:
            yield count
        finally:
            self._active -= 1
            self._bytes -= held

    async def inspect(
        self, served: Served, data: bytes, heat_map: bool, part: str | None = None
    ) -> dict[str, Any]:
        """The same result as `predict`, and the heat map if requested.

        The champion of the present moment decides, also where another one comes up meanwhile.
        part: id of the part, if the client gave one.
        """
        pixels = await self._aside(pixels_of_upload, data, self.settings)
        async with self.budget.spend(pixels):
            by = served.champion
            try:
                with self.traces.span("prepare"):
                    seen = await self._aside(self._see, by, data, heat_map, part)
                with self.traces.span("score"):
                    found = await asyncio.wrap_future(self.batches.submit(by, seen.prepared))
                with self.traces.span("answer"):
                    answer = await self._aside(self._answer, served.product, by, seen, found)
                if self.telling:
                    with self.traces.span("tell"):
                        await self._aside(self._tell, self.telling, answer, data)
                if self.settings.log is not None:  # only now, since what is not kept comes again
                    await self._aside(self._log, self.settings.log, seen, answer)
                return answer
            except Refused:
                raise
            except DataError as error:  # it is smaller than the region of interest, or such
                raise Refused(422, str(error)) from None
            except Exception:  # otherwise it would close the connection
                log.exception("%s: an inspection failed", served.product)
                raise Refused(500, "the inspection failed; the service's log says why") from None

    def _see(self, by: Champion, data: bytes, heat_map: bool, part: str | None) -> Seen:
        picture = decode_upload(data)
        looked = look(picture) if self.settings.log is not None else None
        image = picture.unit
        del picture
        side = self.settings.heat_side
        background = by.model.background(image, side) if heat_map else None
        prepared = by.model.inspector.prepare(image)
        return Seen(prepared, background, looked, identity(data, part))

    def _answer(self, product: str, by: Champion, seen: Seen, found: Inspection) -> dict[str, Any]:
        result = seen.named | by.model.result(found)
        who = {"product": product, "release": by.release, "algorithm": by.algorithm}
        body = {**who, **result}
        if seen.background is not None:
            memory = io.BytesIO()
            by.model.small_picture(seen.background, found).save(memory, "PNG", compress_level=1)
            body["heat_map"] = base64.b64encode(memory.getvalue()).decode()
        return body

    def _tell(self, telling: Telling, answer: dict[str, Any], data: bytes) -> None:
        """Put the result down for the sinks: a client is answered only once it cannot be lost."""
        kept = {key: value for key, value in answer.items() if key != "heat_map"}
        result = result_of(kept, {}, clock.now("milliseconds"), None)
        try:
            telling.tell(result, data, f".{(file_format(data, NAME)).lower()}")
        except (LineError, OSError) as error:
            log.error("%s: a result cannot be kept: %s", result.product, error)
            raise later("the result cannot be kept for those who are told") from None

    def _log(self, folder: Path, seen: Seen, answer: dict[str, Any]) -> None:
        """If the disk is full, the record is lost but the inspection succeeds."""
        try:
            record = record_of_look(seen.looked or {}, answer, answer["release"], None)
            PredictionLog(folder, answer["product"]).add(record)
        except OSError as error:
            log.error("%s: the prediction is not logged: %s", answer["product"], error)

    async def _aside(self, function: Any, *arguments: Any) -> Any:
        return await run_sync(function, *arguments, limiter=self._threads)


def later(reason: str) -> Refused:
    return Refused(503, f"{reason}; send this one again in a second", {"Retry-After": "1"})
