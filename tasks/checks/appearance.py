"""The usual range of brightness and sharpness in a product's training images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tasks.spec.schema import Validation

if TYPE_CHECKING:
    import pandas

# Smallest half-widths, in units of `to_ratio_scale`: tiny changes in a very even series are fine.
FLOORS = {"brightness": 0.2, "sharpness": 0.5}
FEWEST = 3  # with fewer training images a median cannot show an outlier
DARKEST = 1e-6
FLATTEST = 1e-9  # sharpness of an image without any structure


@dataclass(frozen=True)
class Bounds:
    """Outside low..high an image is unusual, outside worst_low..worst_high it is unusable."""

    low: float
    high: float
    worst_low: float
    worst_high: float


def appearance_bounds(frame: "pandas.DataFrame", rules: Validation) -> dict[str, Bounds]:
    """Bounds of `brightness` and `sharpness` from the readable training images."""
    train = frame[(frame.split == "train") & (frame.error == "")]
    if len(train) < FEWEST:
        return {}
    return {name: bounds_of_measure(name, train[name].to_numpy(), rules) for name in FLOORS}


def bounds_of_measure(name: str, values: np.ndarray, rules: Validation) -> Bounds:
    """Median +- range_tolerance median absolute deviations, on a ratio scale."""
    scaled = to_ratio_scale(name, values)
    middle = float(np.median(scaled))
    spread = float(np.median(np.abs(scaled - middle)))
    half = max(rules.range_tolerance * spread, FLOORS[name])
    worst = max(half, float(np.log(rules.extreme_ratio)))
    low, high, worst_low, worst_high = (
        round_digits(from_ratio_scale(name, middle + offset))
        for offset in (-half, half, -worst, worst)
    )
    if name == "sharpness":  # where every image is flat, every one is unusable
        worst_low = max(worst_low, FLATTEST)
    return Bounds(low, high, worst_low, max(worst_high, worst_low))


def to_ratio_scale(name: str, values: np.ndarray) -> np.ndarray:
    """Log odds of brightness, log of sharpness: differences are ratios of the original values."""
    if name == "brightness":
        inner = np.clip(values, DARKEST, 1 - DARKEST)
        return np.log(inner / (1 - inner))
    return np.log(np.maximum(values, FLATTEST / 10))


def from_ratio_scale(name: str, value: float) -> float:
    """Inverse of `to_ratio_scale`."""
    if name == "brightness":
        return float(1 / (1 + np.exp(-value)))
    return float(np.exp(value))


def round_digits(value: float) -> float:
    return float(f"{value:.6g}")
