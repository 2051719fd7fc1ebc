"""Inspect what comes into a folder or from a camera, and tell each result to the sinks."""

import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.arrival.camera import frames
from tasks.arrival.waiting import Waiting
from tasks.arrival.watched import FolderSource, Listing
from tasks.documents.result import Result, result_of
from tasks.images.decode import Picture, decode_image
from tasks.images.layout import hidden
from tasks.models.served import Champion, Served
from tasks.monitoring.log import PredictionLog, record_of
from tasks.monitoring.part_id import identity, part_in
from tasks.monitoring.traces import Traces
from tasks.sinks.outbox import TIDY, Taken
from tasks.sinks.sorted_folder import FOLDERS
from tasks.sinks.telling import Telling
from tasks.workspace import clock
from tasks.workspace.errors import DataError, LineError, SpecError

NAMESPACE = uuid.UUID("6d1a5f4e-5a0e-4d0b-9d9a-3c1f0a6f2b11")  # of parts that are known by a file
LARGEST = 1 << 30  # bytes of a file that are read
log = logging.getLogger(__name__)


@dataclass
class Inspecting:
    """From the bytes of an image to all that is told of it."""

    served: Served
    telling: Telling
    records: PredictionLog | None = None
    traces: Traces = field(default_factory=Traces)

    def inspect(
        self, data: bytes, name: str | None, part: str | None, taken: Taken | None = None
    ) -> Result:
        """The result, which is on disk for each sink when this returns.

        An image that cannot be inspected has a result too: its decision is `error`.
        """
        by = self.served.champion
        with self.traces.span("inspect", product=self.served.product, release=by.release) as note:
            with self.traces.span("score"):
                result, picture = self._result(by, data, name, part)
            note(part=result.part, decision=result.decision)
            suffix = Path(name).suffix.lower() if name else ".png"
            with self.traces.span("tell"):
                self.telling.tell(result, data, suffix, taken)
            self._log(picture, result)  # now, since what cannot be told is inspected again
        return result

    def _result(
        self, by: Champion, data: bytes, name: str | None, part: str | None
    ) -> tuple[Result, Picture | None]:
        """The result, and the picture where it was inspected."""
        named = identity(data, part)
        who = {"product": self.served.product, "release": by.release, "algorithm": by.algorithm}
        now = clock.now("milliseconds")
        try:
            picture = decode_image(data, name or "image")
            verdict = named | by.model.result(by.model.inspector.inspect(picture.unit))
        except DataError as error:
            fault = str(error)
        except Exception as error:  # it must not stand in the way of all that come after it
            log.exception("%s: %s cannot be inspected", self.served.product, name or "a picture")
            fault = f"the inspection failed ({type(error).__name__}); the log says why"
        else:
            return result_of(verdict, who, now, name), picture
        return result_of(named | {"decision": "error", "fault": fault}, who, now, name), None

    def _log(self, picture: Picture | None, result: Result) -> None:
        if self.records is None or picture is None:
            return
        try:
            self.records.add(record_of(picture, result.dump(), result.release, result.image))
        except OSError as error:
            log.error("%s: the prediction is not logged: %s", self.served.product, error)


class FolderLoop:
    """`step` inspects the files of a folder that are complete and were not inspected before."""

    def __init__(
        self,
        inspecting: Inspecting,
        folder: str,
        settle: float,
        pattern: re.Pattern[str] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """settle: seconds without a change after which a file is complete; pattern: finds the
        part's id in its name."""
        self.inspecting = inspecting
        self.source = FolderSource(folder)
        self.address = f"{inspecting.served.product}={self.source.folder}"
        self.pattern = pattern
        self.clock = clock
        self.waiting = Waiting(settle, 0.0, 0.0)
        self.unread: dict[PurePosixPath, str] = {}  # files that cannot be read just now, and why
        refuse_own_pictures(self.source.folder, inspecting.telling.folders)
        self.taken = self._remembered(self.source.listing())

    def step(self) -> Iterator[Result]:
        """Results of what is complete now, in the order in which it was written."""
        listing = self.source.listing()
        if self.clock() >= self._next_tidy:
            self.taken = self._remembered(listing)
        self.waiting.update(listing, self.taken, self.clock())
        whole = self.waiting.whole(self.clock())
        for path in sorted(whole, key=lambda path: (int(listing[path][1]), str(path))):
            if result := self._inspect(path, listing):
                yield result

    def _remembered(self, listing: Listing) -> Listing:
        """What was taken, without what has long been gone: files may come and go for years."""
        self._next_tidy = self.clock() + TIDY
        outbox = self.inspecting.telling.deliveries.outbox
        outbox.forget(self.address, map(str, listing))
        known = outbox.taken(self.address).items()
        return {PurePosixPath(path): stamp_of(text) for path, text in known}

    @property
    def idle(self) -> bool:
        """Whether every file that was seen is inspected, or cannot be read."""
        return not self.waiting.new - set(self.taken) - set(self.unread)

    def _inspect(self, path: PurePosixPath, listing: Listing) -> Result | None:
        file = self.source.folder / path
        try:
            with file.open("rb") as opened:
                data = opened.read(LARGEST)  # what is larger is no image, and is refused as one
            facts = file.stat()
        except FileNotFoundError:  # somebody took it away
            return None
        except OSError as error:  # it is tried again, and the others need not wait for it
            self._keep_unread(path, error)
            return None
        self.unread.pop(path, None)
        stamp = facts.st_size, str(facts.st_mtime_ns)
        if stamp != listing[path]:  # it goes on being written
            return None
        text = f"{stamp[0]} {stamp[1]}"
        part = self._part(path, text)
        taken = Taken(self.address, str(path), text)
        result = self.inspecting.inspect(data, str(path), part, taken)
        self.taken[path] = stamp
        return result

    def _keep_unread(self, path: PurePosixPath, error: OSError) -> None:
        reason = error.strerror or str(error)
        if self.unread.get(path) != reason:
            log.warning("%s cannot be read: %s", self.source.folder / path, reason)
        self.unread[path] = reason

    def _part(self, path: PurePosixPath, stamp: str) -> str:
        """The id in a file's name, or one of its own: the same where a killed loop begins again."""
        try:
            if found := part_in(path.name, self.pattern):
                return found
        except DataError as error:
            log.warning("%s: %s", self.source.folder / path, error)
        named = f"{self.address}\n{path}\n{stamp}".encode(errors="backslashreplace")
        return uuid.uuid5(NAMESPACE, named.decode()).hex


def refuse_own_pictures(watched: Path, sinks: Iterable[Path]) -> None:
    """SpecError where a sink sorts images into the watched folder: each would come again, for
    ever."""
    for sink in sinks:
        for name in FOLDERS.values():
            place = (sink / name).expanduser().resolve()
            if not place.is_relative_to(watched):
                continue
            if not any(map(hidden, place.relative_to(watched).parts)):
                raise SpecError(
                    f"the sink '{sink}' lies in the folder that is inspected, {watched}, and its "
                    "images would be inspected again; give a sink elsewhere"
                )


def stamp_of(text: str) -> tuple[int, str]:
    """Size and time of a file, as the outbox keeps them."""
    size, time = text.split(" ")
    return int(size), time


def inspect_camera(
    inspecting: Inspecting,
    address: str,
    every: float,
    over: threading.Event,
    say: Callable[[str], None],
) -> Iterator[Result]:
    """Results of a camera's pictures, each a part of its own. A result that cannot be kept is told,
    and the next picture is taken."""
    for image in frames(address, every, over, say):
        try:
            result = inspecting.inspect(image, None, None)
        except (LineError, OSError) as error:
            say(f"{inspecting.served.product}: a result is lost: {error}")
            continue
        yield result
