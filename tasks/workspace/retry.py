"""Wait for a store, a DVC remote or a server that is not available."""

import time
from collections.abc import Callable
from typing import TypeVar

from tasks.workspace.errors import AwayError

T = TypeVar("T")
LONGEST = 15.0  # seconds between two attempts


def patiently(
    call: Callable[[], T],
    patience: float,
    say: Callable[[str], None] = lambda text: None,
    away: tuple[type[Exception], ...] = (AwayError,),
) -> T:
    """What `call` returns, called again while it raises an error of `away`, for so many seconds."""
    until, pause = time.monotonic() + patience, 1.0
    while True:
        try:
            return call()
        except away as error:
            if time.monotonic() + pause > until:
                raise
            if pause == 1.0:
                say(f"{error}; trying again for {patience:g} s")
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)
