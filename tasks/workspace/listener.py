"""Run one step as a program of its own: what `dvc repro` calls."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tasks.workspace.errors import LineError


class Listener:
    """What a step reports while it works, and whether it should stop.

    `report(stage, fraction, **metrics)` prints now and then, `say(text)` at once; Ctrl-C asks to
    stop, so that a fit ends between two batches and keeps its checkpoint.
    """

    def __init__(self, name: str, every: float = 10.0) -> None:
        self.name, self.every, self._last = name, every, 0.0
        self._stop, self._left = False, Remaining()
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: Any) -> None:
        self._stop = True

    def should_stop(self) -> bool:
        return self._stop

    def say(self, text: str) -> None:
        """Print a text at once."""
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)

    def report(self, stage: str, fraction: float, **metrics: float) -> None:
        from ad_models.errors import Cancelled

        if self._stop:  # steps that never ask `should_stop` stop here
            raise Cancelled(f"stopped in {stage}")
        left = self._left.after(fraction)
        if time.monotonic() - self._last >= self.every:
            self._last = time.monotonic()
            figures = [f"{name} {value:.4g}" for name, value in metrics.items()]
            text = " ".join(filter(None, [stage, f"{fraction:.0%}", *figures, left]))
            print(f"{self.name}: {text}", file=sys.stderr, flush=True)


def main(step: Callable[..., Any]) -> None:
    """Call `step(workspace, *arguments, listener)` with the command line's arguments."""
    from ad_models.errors import AnomalyError
    from tasks.workspace.paths import find

    try:
        workspace = find()
        os.chdir(workspace.root)  # where the paths in specs begin
        step(workspace, *sys.argv[1:], Listener(" ".join(sys.argv[1:])))
    except (LineError, AnomalyError) as error:
        sys.exit(f"error: {error}")


SOON = 10.0  # seconds: before, a pace says little


class Remaining:
    """The time left of a step. Its progress counts from 0 to 1, once for each of its parts."""

    def __init__(self) -> None:
        self._began = self._first = 0.0
        self._last = math.inf

    def after(self, fraction: float) -> str:
        """In words, where `fraction` of the part is done; nothing while that is not known."""
        now = time.monotonic()
        if fraction < self._last:
            self._began, self._first = now, fraction
        self._last = fraction
        gone, done = now - self._began, fraction - self._first
        if gone < SOON or done <= 0:
            return ""
        return f"{timedelta(seconds=round(gone * (1 - fraction) / done))} left"
