"""How long a part of a step still takes, by its pace so far."""

import math
import time
from datetime import timedelta

SOON = 10.0  # seconds: before, a pace says little


class Remaining:
    """Of what counts up to one, several times where a step has several parts."""

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
