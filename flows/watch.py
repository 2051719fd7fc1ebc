"""`inspectline watch`: ingest new images and run the line for them, again and again."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol

from flows.ingest import ingest_product
from flows.running.apart import start_apart
from tasks.arrival.bucket_events import BucketEvents
from tasks.arrival.labels import Labels
from tasks.arrival.mask_pairs import masks_among
from tasks.arrival.safe_paths import printable
from tasks.arrival.sources import scratch_folder
from tasks.arrival.waiting import Waiting
from tasks.arrival.watch_state import WatchState
from tasks.arrival.watched import Listing, Source, open_source, ready_files
from tasks.monitoring.due import due, news
from tasks.workspace.errors import BusyError, DataError, LineError, SpecError
from tasks.workspace.lock import run_lock
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace

RETRY = 60.0  # seconds after a failure
TRIES = 3  # further runs after a failed one: a store may be unavailable for a while
PATIENCE = 90.0  # seconds that a run may take to stop
FAILED = 1  # exit code of a run that ended with failures
SERVER_AWAY = 75  # exit code if the server did not get the event


class Process(Protocol):
    def poll(self) -> int | None:
        """The exit code; None while it runs."""


Start = Callable[[list[str]], Process]


@dataclass
class Watched:
    """One source of one product."""

    product: str
    source: Source
    waiting: Waiting
    state: WatchState  # shared by the product's sources
    labels: Labels = field(default_factory=Labels)
    not_before: float = 0.0
    last_error: str = ""  # already reported
    asks: bool = False  # whether it is a question, which waiting does not answer
    refused: set[str] = field(default_factory=set)  # names already reported
    corrections: float = 0.0  # write time of the last seen corrections
    nothing: tuple[Listing, set[PurePosixPath]] | None = None  # of which nothing could be taken


@dataclass
class Watcher:
    """`step` checks once. There is only one run at a time, and no ingest during a run: a run keeps
    the version with which it started, and images that arrive during it wait for the next."""

    workspace: Workspace
    watched: list[Watched]
    start: Start
    say: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _run: Process | None = None
    _running: list[str] = field(default_factory=list)
    _not_before: float = 0.0
    _tries: int = 0

    def step(self) -> None:
        free = not self._busy()
        for one in self.watched:
            self._attempt(one, free)
        if free:
            self._begin()

    def close(self) -> None:
        """End the run that is in progress, if there is one: it keeps its checkpoints."""
        if not isinstance(self._run, subprocess.Popen) or self._run.poll() is not None:
            return
        self.say(f"stopping the run of {', '.join(self._running)}; its checkpoints are kept")
        self._run.terminate()
        try:
            self._run.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._run.kill()

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits, except masks without an image."""
        waits = [path for one in self.watched for path in one.waiting.new]
        masks = masks_among(waits, Labels())
        due = any(one.state.due for one in self.watched)
        return self._run is None and not due and len(masks) == len(waits)

    @property
    def stuck(self) -> bool:
        """Whether nothing runs, and all that waits is a question to somebody."""
        waits = [one for one in self.watched if one.waiting.new]
        due = any(one.state.due for one in self.watched)
        return self._run is None and not due and bool(waits) and all(one.asks for one in waits)

    def _attempt(self, one: Watched, free: bool) -> None:
        """A failure is reported once and tried again later; other sources continue."""
        try:
            taken = one.state.taken.get(one.source.address, {})
            one.waiting.update(one.source.listing(), taken, self.clock())
            self._refuse(one)
            if free and self.clock() >= one.not_before:
                self._take(one)
                self._reread(one)
                one.last_error, one.asks = "", False
        except (LineError, OSError) as error:
            if not isinstance(error, BusyError):
                one.not_before = self.clock() + RETRY
            one.asks = isinstance(error, DataError)
            if str(error) != one.last_error:
                one.last_error = str(error)
                self.say(f"{one.product}: {error}")

    def _refuse(self, one: Watched) -> None:
        """Report once each name that is not a valid file name."""
        for name, reason in one.source.refused:
            if name not in one.refused:
                self.say(f"{one.product}: refused {printable(name)}: {reason}")
        one.refused |= {name for name, _ in one.source.refused}

    def _take(self, one: Watched) -> None:
        """Ingest complete files, if it is time."""
        now = self.clock()
        if not one.waiting.due(now):
            return
        listing = one.source.listing()
        whole = one.waiting.whole(now)
        known = one.state.taken.get(one.source.address, {})
        whole |= {path for path, stamp in listing.items() if known.get(path) == stamp}
        if (listing, whole) == one.nothing:
            return
        offer = ready_files(listing, one.waiting.new, whole, one.source.address, one.labels)
        misplaced = {path for path, _ in offer.refused} | set(offer.skipped)
        paths = {path for arrival in offer.arrivals for path in arrival.files}
        if not paths | misplaced:
            one.nothing = listing, whole
            return
        with run_lock(self.workspace), scratch_folder(self.workspace.scratch / "watch") as scratch:
            before, one.state.due = one.state.due, True
            one.state.write()
            one.source.stage(sorted(paths), scratch)
            report = ingest_product(self.workspace, one.product, str(scratch), offer=offer)
            kept = {path: stamp for path, stamp in known.items() if path in listing}
            one.state.taken[one.source.address] = kept | {p: listing[p] for p in paths | misplaced}
            one.state.due = before or (report.changed and self._enough(one))
            one.state.write()
        self.say(f"{one.product}: {report.summary()}")
        if report.changed and not one.state.due:
            self.say(f"{one.product}: no run yet: {news(self.workspace, one.product)}")

    def _enough(self, one: Watched) -> bool:
        """Whether the waiting images are enough for a run; also True if the run would report a spec
        error."""
        try:
            return bool(due(self.workspace, one.product))
        except SpecError:
            return True

    def _reread(self, one: Watched) -> None:
        """Check whether corrected labels alone need a run."""
        path = self.workspace.corrections(one.product)
        written = path.stat().st_mtime if path.is_file() else 0.0
        if one.state.due or written == one.corrections:
            return
        one.corrections = written
        one.state.due = bool(due(self.workspace, one.product, arrived=False))
        one.state.write()

    def _busy(self) -> bool:
        """Whether a run is in progress; the end of a run is reported."""
        if self._run is None:
            return False
        code = self._run.poll()
        if code is None:
            return True
        self._run = None
        self._tries = 0 if code == 0 else self._tries + 1
        names = ", ".join(self._running)
        if code == 0 or (code == FAILED and self._tries > TRIES):
            more = "; the next images start another" if code else ""
            self.say(f"run of {names} ended{more}")
            self._tries = 0
            for state in self._states():
                state.due = False
                state.write()
        else:
            pause = RETRY * 2 ** min(self._tries - 1, TRIES)
            self.say(f"run of {names} failed (exit code {code}); again in {pause:g} s")
            self._not_before = self.clock() + pause
        return False

    def _begin(self) -> None:
        """Start one run for all products that are due."""
        due = sorted({one.product for one in self.watched if one.state.due})
        if not due or self.clock() < self._not_before or not self._free():
            return
        self.say(f"run of {', '.join(due)}")
        self._running = due
        self._run = self.start(due)

    def _free(self) -> bool:
        try:
            with run_lock(self.workspace):
                return True
        except BusyError:
            return False

    def _states(self) -> list[WatchState]:
        return [one.state for one in self.watched if one.product in self._running]


def start_run(workspace: Workspace) -> Start:
    """Starts `inspectline run` for products in its own process."""

    def start(products: list[str]) -> "subprocess.Popen[bytes]":
        # in a session of its own: what stops the watcher is passed on once, by `close`
        named = [word for product in products for word in ("-p", product)]
        return start_apart(workspace, ["run", *named])

    return start


class Announced:
    """A run that the server starts: for us it has ended as soon as the event is sent."""

    def __init__(self, code: int) -> None:
        self.code = code

    def poll(self) -> int:
        return self.code


def start_announced(workspace: Workspace) -> Start:
    """Sends an event for each product; the server's automations start the runs."""

    def start(products: list[str]) -> Announced:
        import httpx

        from flows.prefect_server.events import announce

        try:
            announce(workspace, {product: _reason(workspace, product) for product in products})
        except (
            LineError,
            RuntimeError,
            httpx.HTTPError,
        ):  # the server is away
            return Announced(SERVER_AWAY)
        return Announced(0)

    return start


def _reason(workspace: Workspace, product: str) -> str:
    try:
        why = due(workspace, product)
    except SpecError:  # the run reports it
        why = ""
    return f"{product}: {why or 'new images'}"


def watched_sources(
    workspace: Workspace,
    pairs: Sequence[str],
    patience: tuple[float, float, float],
    queue: str | None = None,
    labels: Labels | None = None,
) -> list[Watched]:
    """Parse and check PRODUCT=SOURCE pairs. patience: settings of `Waiting`; queue: queue of the
    buckets' events; labels: what a person said of folders that may be labels."""
    events = BucketEvents(queue) if queue else None
    found: list[Watched] = []
    state: dict[str, WatchState] = {}
    for pair in pairs:
        product, equals, address = pair.partition("=")
        if not equals or not address:
            raise DataError(f"'{pair}' names no source; write PRODUCT=FOLDER or PRODUCT=s3://...")
        check_product_name(product)
        source = open_source(address, events)
        source.listing()
        state.setdefault(product, WatchState.read(workspace, product))
        waiting = Waiting(*patience)
        found.append(Watched(product, source, waiting, state[product], labels or Labels()))
    return found
