"""What a run shows while it works: a bar per running cell, or plain lines without a terminal."""

import sys
import time
from contextlib import AbstractContextManager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from tasks.workspace.listener import Remaining


class Terminal(AbstractContextManager):
    """Use as a context; `start`, `update` and `end` are safe from any thread."""

    def __init__(self, total: int, title: str = "line", every: float = 15.0) -> None:
        self.console = Console(file=sys.stderr)
        self.every = every
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
        self._bars.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        self._bars.console.print(text, highlight=False, markup=False)

    def start(self, name: str) -> None:
        self._began[name] = self._printed[name] = time.monotonic()
        self._left[name] = Remaining()
        self._rows[name] = self._bars.add_task(name, total=1.0, note="")

    def update(self, name: str, stage: str, fraction: float, metrics: dict[str, float]) -> None:
        figures = [f"{key} {value:.4g}" for key, value in metrics.items()]
        note = " ".join(filter(None, [stage, *figures, self._left[name].after(fraction)]))
        self._bars.update(self._rows[name], completed=fraction, note=note)
        if not self.console.is_terminal and time.monotonic() - self._printed[name] >= self.every:
            self._printed[name] = time.monotonic()
            self.say(f"  {name}: {fraction:.0%} {note}")

    def end(self, name: str, outcome: str) -> None:
        self._bars.remove_task(self._rows.pop(name))
        self._bars.advance(self._all)
        self.say(f"{outcome} {name} ({time.monotonic() - self._began[name]:.1f} s)")
