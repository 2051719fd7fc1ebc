"""The sample product `plate`: a milled plate with a turned face, a bore and four drilled holes."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from tasks.arrival.samples.shapes import (
    Array,
    Canvas,
    Drawing,
    Flaw,
    Way,
    blot_distance,
    line_distance,
    turned,
    wander,
)

DEFECTS = ("scratch", "missing_hole", "burr")
MODE = "L"
HALF, CORNER, FACE, BORE, HOLE, SINK = 104.0, 20.0, 66.0, 27.0, 10.5, 4.5
HOLES = tuple((x, y) for x in (-76.0, 76.0) for y in (-76.0, 76.0))


@dataclass(frozen=True)
class Plate:
    """p, q (H, W): position on the plate from its centre; centre: of the plate on the canvas."""

    p: Array
    q: Array
    centre: Array
    angle: float
    surface: Array  # (H, W) brightness of the bare metal, without holes
    belt: Array  # (H, W) brightness of what it lies on
    light: float  # direction the light comes from, radians

    def place(self, p: float, q: float) -> Array:
        """Where a point of the plate is on the canvas, as x, y."""
        x, y = turned(np.array(p), np.array(q), -self.angle)
        point: Array = self.centre + np.array((float(x), float(y)))
        return point


def draw(at: Canvas, random: Generator, flaw: Flaw | None) -> Drawing:
    """A plate on a dark belt, with the flaw if there is one."""
    plate = machine(at, random)
    clean = drilled(at, plate)
    flawed, alpha = clean, np.zeros(at.x.shape)
    if flaw is not None:
        flawed, alpha = FLAWS[flaw.kind](at, plate, clean, flaw)
    return Drawing(clean[..., None], flawed[..., None], alpha)


def machine(at: Canvas, random: Generator) -> Plate:
    """One plate: where it lies, how its tool marks came out, and the light."""
    angle, centre = random.uniform(-0.016, 0.016), 128 + random.uniform(-2, 2, 2)
    p, q = turned(at.x - centre[0], at.y - centre[1], angle)
    light = -2.2 + random.normal(0, 0.12)
    noise = ndimage.gaussian_filter1d(random.standard_normal(at.x.shape), 14 / at.pixel, axis=1)
    milled = 0.56 + 0.025 * noise / noise.std() + 0.012 * np.sin(1.9 * q + random.uniform(0, 6))
    reach, around = np.hypot(p, q), np.arctan2(q, p)
    grooves = np.interp(reach, np.arange(0, 190, 0.8), random.standard_normal(238))
    sheen = 0.13 * np.cos(2 * (around - light) + random.normal(0, 0.15))
    face = 0.60 + sheen + 0.035 * grooves + 0.03 * np.sin(2 * np.pi * reach / random.normal(5, 0.1))
    inside = at.cover(reach - FACE)
    step = 0.2 * np.exp(-(((reach - FACE) / 1.6) ** 2)) * np.cos(around - light + np.pi)
    surface = milled * (1 - inside) + face * inside + step
    return Plate(p, q, centre, angle, surface, 0.13 + 0.01 * at.field(random, 4), light)


def drilled(at: Canvas, plate: Plate, holes: tuple[tuple[float, float], ...] = HOLES) -> Array:
    """The plate (H, W) with its bevelled outline, its bore and these holes."""
    side = np.abs(np.stack((plate.p, plate.q))) - (HALF - CORNER)
    outline = np.hypot(*np.maximum(side, 0)) + np.minimum(side.max(0), 0) - CORNER
    slope_y, slope_x = np.gradient(outline, at.pixel)
    facing = slope_x * np.cos(plate.light) + slope_y * np.sin(plate.light)
    image = mix(plate.surface, 0.55 + 0.33 * facing, at.cover(-outline - 4))
    for p, q in holes:
        image = pierce(at, plate, image, (p, q), HOLE)
    image = pierce(at, plate, image, (0, 0), BORE)
    shadow = 1 - 0.5 * np.clip(1 - outline / 9, 0, 1) * (0.6 - 0.4 * facing)
    return mix(plate.belt * shadow, image, at.cover(outline))


def pierce(
    at: Canvas, plate: Plate, image: Array, where: tuple[float, float], hole: float
) -> Array:
    """The image with a countersunk hole."""
    reach, around = _polar(plate, where)
    ring = 0.52 - 0.34 * np.cos(around - plate.light)
    image = mix(image, ring, at.cover(reach - hole - SINK))
    wall = np.clip((reach - 0.72 * hole) / (0.28 * hole), 0, 1)
    deep = 0.06 + 0.16 * wall * np.clip(-np.cos(around - plate.light), 0, 1)
    return mix(image, deep, at.cover(reach - hole))


def mix(below: Array, above: Array, alpha: Array) -> Array:
    """One brightness over another."""
    return below + (above - below) * alpha


def _polar(plate: Plate, where: tuple[float, float]) -> tuple[Array, Array]:
    p, q = plate.p - where[0], plate.q - where[1]
    return np.hypot(p, q), np.arctan2(q, p) + plate.angle


def scratch(at: Canvas, plate: Plate, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """A bent groove: one bright flank, one dark."""
    random = flaw.random
    turn, away = random.uniform(0, 2 * np.pi), random.uniform(38, 60)
    start = plate.place(away * np.cos(turn), away * np.sin(turn))
    angle = turn + random.choice((-1, 1)) * random.uniform(1.0, 2.1)  # or it would end in the bore
    length = flaw.between(32, 88) * random.uniform(0.9, 1.2)
    points = wander(random, Way(start, angle, length), 0.06)
    width = flaw.between(0.9, 1.4)
    bright = at.cover(line_distance(at, points) - width)
    dark = at.cover(line_distance(at, points + 1.3 * width) - width)
    metal = clean > 0.25
    flawed = mix(clean, np.full_like(clean, 0.25), 0.8 * dark * metal)
    flawed = mix(flawed, np.full_like(clean, flaw.between(0.86, 0.98)), bright * metal)
    return flawed, np.maximum(bright, 0.9 * dark) * metal


def missing_hole(at: Canvas, plate: Plate, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """A hole was not drilled; a weaker flaw is one that does not go through."""
    random = flaw.random
    gone = HOLES[random.integers(len(HOLES))]
    flawed = drilled(at, plate, tuple(where for where in HOLES if where != gone))
    reach, around = _polar(plate, gone)
    if flaw.strength > 0.4:
        flawed = mix(flawed, np.full_like(clean, 0.25), at.cover(reach - 1.6))
        return flawed, at.cover(reach - HOLE - SINK - 0.6)
    tip = 0.40 - 0.14 * np.cos(around - plate.light) + 0.05 * np.cos(2.2 * reach)
    return mix(clean, tip, at.cover(reach - HOLE + 1)), at.cover(reach - HOLE + 1)


def burr(at: Canvas, plate: Plate, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """Torn metal stands up at the edge of a hole, of the bore or of the plate."""
    random = flaw.random
    turn, edge = random.uniform(0, 2 * np.pi), random.integers(3)
    ray = np.array((np.cos(turn), np.sin(turn)))
    where = HOLE * ray + HOLES[random.integers(len(HOLES))] if edge == 0 else BORE * ray
    if edge == 2:
        where = np.array((HALF - 3, random.uniform(-60, 60)))[:: random.choice((-1, 1))]
        where = where * random.choice((-1, 1))
    centre, radius = plate.place(*where), flaw.between(7, 11) * random.uniform(0.9, 1.15)
    ragged = blot_distance(at, random, centre, radius, 0.3) + 0.9 * at.field(random, 5)
    slope_y, slope_x = np.gradient(0.8 * ragged + 1.6 * at.field(random, 6), at.pixel)
    glint = -(slope_x * np.cos(plate.light) + slope_y * np.sin(plate.light))
    torn = np.clip(0.68 - 0.36 * glint, 0.15, 1.0)
    aside = 2.2 * np.array((np.cos(plate.light), np.sin(plate.light))) / at.pixel
    shade = ndimage.shift(at.cover(ragged), -aside[::-1], order=1)
    flawed = mix(clean, 0.35 * clean, shade)
    return mix(flawed, torn, at.cover(ragged)), np.maximum(0.9 * shade, at.cover(ragged))


FLAWS = {"scratch": scratch, "missing_hole": missing_hole, "burr": burr}
