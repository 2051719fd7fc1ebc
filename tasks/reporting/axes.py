"""Positions of values along an axis of an SVG, and round values for its ticks."""

import math
from typing import NamedTuple


class Axis(NamedTuple):
    """Maps values from low..high to 0..`length`; log: on a logarithmic scale."""

    low: float
    high: float
    length: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return round(self.length * (value - low) / ((high - low) or 1.0), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values with their positions."""
        values = decades(self.low, self.high) if self.log else []
        if len(values) < 2:
            values = round_steps(self.low, self.high)
        return [(self.at(value), f"{value:.6g}") for value in values]


def round_steps(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round values in low..high."""
    rough = (high - low) / count or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, ... in low..high."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]
