"""What a run shows while it works: a bar per running cell, or plain lines where nobody watches.

It is never silent for long: without other news a line tells every few seconds what goes on.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tasks.workspace.listener import Remaining

EVERY = 4.0  # seconds of silence after which a line tells what goes on; looked at each second
SOON = 2.0  # seconds after which it is told first what takes so long


class Repeated(AbstractContextManager):
    """Inside, or until `stop`, `tell` is called in a thread, after some seconds and then every few
    seconds."""

    def __init__(self, tell: Callable[[], None], first: float, every: float) -> None:
        self._tell, self._first, self._every = tell, first, every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def _run(self) -> None:
        wait = self._first
        while not self._end.wait(wait):
            self._tell()
            wait = self._every

    def __enter__(self) -> "Repeated":
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.stop()
        self._thread.join()

    def stop(self) -> None:
        self._end.set()


told: list[Repeated] = []  # what goes on, and is told until it ends or a terminal shows the rest


@contextmanager
def telling(text: str, first: float = SOON, every: float = EVERY / 2) -> Iterator[None]:
    """If what is done inside takes long, say so on stderr, again and again with the seconds."""
    began = time.monotonic()

    def tell() -> None:
        print(f"{text}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    with Repeated(tell, first, every) as repeated:
        told.append(repeated)
        try:
            yield
        finally:
            told.remove(repeated)


class Terminal(AbstractContextManager):
    """Use as a context; `start`, `update` and `end` are safe from any thread."""

    def __init__(
        self,
        total: int,
        title: str = "line",
        every: float = EVERY,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        """total: of the stages; every: seconds between reminders; log: is told what stays of it:
        begin and end of a stage, and what it says."""
        self._log = log
        self.console = Console(file=sys.stderr)
        self.every = every
        self._said = time.monotonic() - every + min(every, SOON)
        self._notes: dict[str, str] = {}  # of all that runs, how far it is
        self._repeated = Repeated(self._remind, every / 4, every / 4)
        self._printed: dict[str, float] = {}
        self._rows: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._left: dict[str, Remaining] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}% {task.fields[note]}"),
            TimeElapsedColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._all = self._bars.add_task(title, total=max(total, 1), note="")

    def __enter__(self) -> "Terminal":
        for one in told:
            one.stop()
        self._bars.start()
        if not self.console.is_terminal:  # there the bars count the seconds
            self._repeated.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if not self.console.is_terminal:
            self._repeated.__exit__(*error)
        self._bars.stop()

    def say(self, text: str) -> None:
        self._said = time.monotonic()
        self._bars.console.print(text, highlight=False, markup=False)

    def note(self, text: str) -> None:
        """Say it, and have it logged."""
        self.say(text)
        self._log(text)

    def start(self, name: str) -> None:
        self._log(f"begun   {name}")
        self._began[name] = self._printed[name] = time.monotonic()
        self._left[name] = Remaining()
        self._notes[name] = ""
        self._rows[name] = self._bars.add_task(name, total=1.0, note="")

    def update(self, name: str, stage: str, fraction: float, metrics: dict[str, float]) -> None:
        figures = [f"{key} {value:.4g}" for key, value in metrics.items()]
        note = " ".join(filter(None, [stage, *figures, self._left[name].after(fraction)]))
        self._bars.update(self._rows[name], completed=fraction, note=note)
        self._notes[name] = f"{fraction:.0%} {note}, "
        if not self.console.is_terminal and time.monotonic() - self._printed[name] >= self.every:
            self._printed[name] = time.monotonic()
            self.say(f"  {name}: {fraction:.0%} {note}")

    def end(self, name: str, outcome: str) -> None:
        self._notes.pop(name)
        self._bars.remove_task(self._rows.pop(name))
        self._bars.advance(self._all)
        self.note(f"{outcome} {name} ({time.monotonic() - self._began[name]:.1f} s)")

    def _remind(self) -> None:
        """Say what goes on, if nothing was said for some seconds."""
        now = time.monotonic()
        if now - self._said < self.every:
            return
        for name, note in list(self._notes.items()):
            self._printed[name] = now
            self.say(f"  {name}: {note}{now - self._began[name]:.0f} s")
