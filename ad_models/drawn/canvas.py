"""Where a picture is drawn: coordinates, noise, and images seen through a warp."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Canvas:
    """A square of `side` pixels; positions are in pixels from its centre."""

    side: int

    @cached_property
    def x(self) -> Array:
        """Columns (1, side)."""
        return (np.arange(self.side, dtype=np.float32) - (self.side - 1) / 2)[None]

    @cached_property
    def y(self) -> Array:
        """Rows (side, 1)."""
        return self.x.T

    @cached_property
    def frequency(self) -> tuple[Array, Array]:
        """Cycles in a pixel, down (side, 1) and across (1, side // 2 + 1)."""
        down = np.fft.fftfreq(self.side).astype(np.float32)[:, None]
        return down, np.fft.rfftfreq(self.side).astype(np.float32)[None]

    def frame(self, centre: tuple[float, float], angle: float) -> tuple[Array, Array]:
        """Coordinates (side, side) from a centre, turned by an angle in radians."""
        x, y, c, s = self.x - centre[0], self.y - centre[1], np.cos(angle), np.sin(angle)
        return (c * x + s * y).astype(np.float32), (c * y - s * x).astype(np.float32)

    def noise(
        self, random: Generator, length: float, stretch: float = 1, angle: float = 0
    ) -> Array:
        """Smooth noise (side, side) with mean 0 and deviation 1; `length`: of its waves in pixels,
        `stretch` times that along the angle."""
        down, across = self.frequency
        along = np.cos(angle) * across + np.sin(angle) * down
        aside = np.cos(angle) * down - np.sin(angle) * across
        power = np.exp(-((length * aside) ** 2 + (length * stretch * along) ** 2))
        return self._shaped(random, power)

    def rough(self, random: Generator, slope: float) -> Array:
        """Noise (side, side) without a scale, mean 0 and deviation 1: its spectrum falls with this
        power of the frequency."""
        down, across = self.frequency
        reach = np.hypot(down, across)
        reach[0, 0] = 1
        return self._shaped(random, reach**-slope)

    def _shaped(self, random: Generator, power: Array) -> Array:
        white = np.fft.rfft2(random.standard_normal((self.side, self.side), dtype=np.float32))
        power = power.astype(np.float32)
        power[0, 0] = 0
        field = np.fft.irfft2(white * power, s=(self.side, self.side)).astype(np.float32)
        return field / max(float(field.std()), 1e-6)


def warped(image: Array, dx: Array, dy: Array) -> Array:
    """An image (H, W, C) read at places moved by dx, dy pixels."""
    rows, columns = np.meshgrid(*(np.arange(n) for n in image.shape[:2]), indexing="ij")
    at = np.stack((rows + dy, columns + dx))
    bands = [
        ndimage.map_coordinates(image[..., c], at, order=1, mode="nearest")
        for c in range(image.shape[2])
    ]
    return np.stack(bands, -1).astype(np.float32)


def edge(distance: Array, width: float = 1) -> Array:
    """Coverage 0..1 of a shape by the distance to it in pixels, negative inside."""
    return np.clip(0.5 - distance / width, 0, 1).astype(np.float32)


def lit(height: Array, angle: float) -> Array:
    """Slope of a height towards the light."""
    down, across = np.gradient(height)
    return (np.cos(angle) * across + np.sin(angle) * down).astype(np.float32)
