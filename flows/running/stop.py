"""Ctrl-C during a run: once asks the cells to stop and keep their checkpoints, twice ends them.

SIGTERM and a terminal that closes count as Ctrl-C.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from tasks.workspace.errors import LineError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
asked = threading.Event()  # set while a run is being stopped


class Stopped(LineError):
    """The user asked to stop; checkpoints are kept."""


@contextlib.contextmanager
def stoppable(say: Callable[[str], None], at_once: Callable[[], None]) -> Iterator[None]:
    """Inside, SIGNALS set `asked` and `say` so; a second one calls `at_once` and exits.

    No KeyboardInterrupt: it would interrupt Prefect, which prints the exceptions that it catches.
    """

    def handle(*_: Any) -> None:
        if asked.is_set():
            at_once()
            _exit()
        asked.set()
        # the signal came during a print, or the terminal is gone
        with contextlib.suppress(RuntimeError, OSError):
            say("stopping, checkpoints are kept; Ctrl-C again ends at once")

    asked.clear()
    with handled(SIGNALS, handle):
        yield


@contextlib.contextmanager
def handled(numbers: Iterable[int], handler: Callable[..., None]) -> Iterator[None]:
    """Inside, `handler` is called for these signals; not for one that is ignored, as nohup does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread alone
        return
    heard = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def check() -> None:
    """Raise where a stop was asked for."""
    if asked.is_set():
        raise Stopped("stopped; `inspectline run` goes on from here")


def _exit() -> None:
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # the bars hide it
    os.write(2, f"{show_cursor}\nstopped at once; `inspectline run` goes on from here\n".encode())
    os._exit(130)
