"""The range of brightness and sharpness that a product's own training images span."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.spec.schema import Validation

if TYPE_CHECKING:
    import pandas

# Least half-widths, in the units of `stretched`: very even series must not fail for a trifle.
FLOORS = {"brightness": 0.2, "sharpness": 0.5}
FEWEST = 3  # training images below which a median says nothing about an outlier
DARKEST = 1e-6
FLATTEST = 1e-9  # sharpness of an image without any structure


@dataclass(frozen=True)
class Bounds:
    """Outside low..high an image is unusual, outside worst_low..worst_high it is unusable."""

    low: float
    high: float
    worst_low: float
    worst_high: float


def bounds_of(frame: "pandas.DataFrame", rules: Validation) -> dict[str, Bounds]:
    """Bounds of `brightness` and `sharpness` from the readable training images."""
    train = frame[(frame.split == "train") & (frame.error == "")]
    if len(train) < FEWEST:
        return {}
    return {name: bounds(name, train[name].to_numpy(), rules) for name in FLOORS}


def bounds(name: str, values: np.ndarray, rules: Validation) -> Bounds:
    """Median +- range_tolerance median absolute deviations, on a scale of ratios."""
    scaled = stretched(name, values)
    middle = float(np.median(scaled))
    spread = float(np.median(np.abs(scaled - middle)))
    half = max(rules.range_tolerance * spread, FLOORS[name])
    worst = max(half, float(np.log(rules.extreme_ratio)))
    low, high, worst_low, worst_high = (
        rounded(restored(name, middle + offset)) for offset in (-half, half, -worst, worst)
    )
    if name == "sharpness":
        worst_low = max(worst_low, FLATTEST)
    return Bounds(low, high, worst_low, worst_high)


def stretched(name: str, values: np.ndarray) -> np.ndarray:
    """Log odds of brightness, log of sharpness: differences become ratios."""
    if name == "brightness":
        inner = np.clip(values, DARKEST, 1 - DARKEST)
        return np.log(inner / (1 - inner))
    return np.log(np.maximum(values, FLATTEST / 10))


def restored(name: str, value: float) -> float:
    """Inverse of `stretched`."""
    if name == "brightness":
        return float(1 / (1 + np.exp(-value)))
    return float(np.exp(value))


def rounded(value: float) -> float:
    return float(f"{value:.6g}")
