"""What the sample products are drawn with: fields, edges, lines and blots on a square canvas.

Lengths are in units of 1/256 of the canvas, so a part looks the same at any size.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

Array = NDArray[np.float64]
SIDE = 256.0


@dataclass(frozen=True)
class Canvas:
    """x, y (H, W): the centre of each pixel, 0..256; pixel: the width of one."""

    x: Array
    y: Array
    pixel: float

    def field(self, random: Generator, grain: float) -> Array:
        """Smooth noise (H, W) of about unit variance whose bumps are this far apart."""
        knots = int(np.ceil(SIDE / grain)) + 2
        coarse = Image.fromarray(random.standard_normal((knots, knots)).astype(np.float32))
        inner = (1.0, 1.0, 1.0 + SIDE / grain, 1.0 + SIDE / grain)
        size = self.x.shape[::-1]
        fine = coarse.resize(size, Image.Resampling.BICUBIC, box=(0.5, 0.5, *inner[2:]))
        return 1.4 * np.asarray(fine, float)

    def cover(self, distance: Array, soft: float = 1.2) -> Array:
        """Share of each pixel inside a shape: 1 at negative distance, a soft edge, 0 outside."""
        return np.clip(0.5 - distance / max(soft, self.pixel), 0, 1)


@dataclass(frozen=True)
class Drawing:
    """A part before the camera: clean and flawed (H, W, C) in 0..1, and how far the flaw covers
    the clean part, alpha (H, W) in 0..1."""

    clean: Array
    flawed: Array
    alpha: Array


@dataclass(frozen=True)
class Flaw:
    """A defect to draw: its kind, how obvious it is (0..1) and its own source of chance."""

    kind: str
    strength: float
    random: Generator

    def between(self, subtle: float, obvious: float) -> float:
        """A value that follows the strength."""
        return subtle + (obvious - subtle) * self.strength


Draw = Callable[[Canvas, Generator, Flaw | None], Drawing]


@lru_cache(maxsize=4)
def canvas(size: int) -> Canvas:
    """The canvas of size x size pixels."""
    centres = (np.arange(size) + 0.5) * SIDE / size
    x, y = np.meshgrid(centres, centres)
    return Canvas(x, y, SIDE / size)


def halved(image: Array) -> Array:
    """Each 2 x 2 pixels (H, W, ...) averaged to one."""
    height, width = image.shape[0] // 2, image.shape[1] // 2
    quads: Array = image.reshape(height, 2, width, 2, *image.shape[2:])
    return (quads[:, 0, :, 0] + quads[:, 1, :, 0] + quads[:, 0, :, 1] + quads[:, 1, :, 1]) / 4


def colour(*channels: float) -> Array:
    """A colour (C,) that broadcasts over an image."""
    return np.array(channels)


def blend(below: Array, above: ArrayLike, alpha: Array) -> Array:
    """The image above laid over the one below (H, W, C) with alpha (H, W)."""
    return below + (np.asarray(above) - below) * alpha[..., None]


def turned(x: Array, y: Array, angle: float) -> tuple[Array, Array]:
    """Coordinates rotated by an angle in radians."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def line_distance(at: Canvas, points: Array) -> Array:
    """Distance of each pixel to a polyline with points (N, 2) as x, y."""
    nearest = np.full(at.x.shape, np.inf)
    for (x0, y0), (x1, y1) in pairwise(points):
        dx, dy = x1 - x0, y1 - y0
        along = ((at.x - x0) * dx + (at.y - y0) * dy) / max(dx * dx + dy * dy, 1e-9)
        along = np.clip(along, 0, 1)
        nearest = np.minimum(nearest, (at.x - x0 - along * dx) ** 2 + (at.y - y0 - along * dy) ** 2)
    distance: Array = np.sqrt(nearest)
    return distance


@dataclass(frozen=True)
class Way:
    """Where a line sets out (x, y), at what angle, and how far it goes."""

    start: Array
    angle: float
    length: float


def wander(random: Generator, way: Way, bend: float, jag: float = 0) -> Array:
    """Points (N, 2) of a line along the way; bend turns it for good, jag shakes it."""
    steps = max(int(way.length / 6), 2)
    turns = np.cumsum(random.normal(0, bend, steps)) + random.normal(0, jag, steps)
    angles = way.angle + turns
    moves = np.column_stack((np.cos(angles), np.sin(angles))) * way.length / steps
    points: Array = np.vstack((np.zeros(2), np.cumsum(moves, 0))) + way.start
    return points


def blot_distance(
    at: Canvas, random: Generator, centre: Array, radius: float, rough: float
) -> Array:
    """Roughly the distance to the rim of an irregular blot, negative inside."""
    dx, dy = at.x - centre[0], at.y - centre[1]
    dx, dy = turned(dx, dy, random.uniform(0, np.pi))
    stretch = random.uniform(1, 1.25)
    angle, reach = np.arctan2(dy, dx), np.hypot(dx / stretch, dy * stretch)
    rim = np.ones(at.x.shape)
    for wave in range(2, 10):
        size, phase = random.normal(0, rough / wave), random.uniform(0, 2 * np.pi)
        rim += size * np.cos(wave * angle + phase)
    distance: Array = reach - radius * np.clip(rim, 0.5, 1.6)
    return distance
