"""The sample product `weave`: blue warp through cream weft, drawn thread by thread."""

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
    blend,
    blot_distance,
    canvas,
    colour,
    halved,
    line_distance,
    wander,
)

DEFECTS = ("broken_thread", "stain", "hole")
MODE = "RGB"
WARP, WEFT = colour(0.36, 0.47, 0.62), colour(0.86, 0.83, 0.76)


@dataclass(frozen=True)
class Cloth:
    """u, v (2H, 2W): position in threads across and along; one tone and radius per thread."""

    u: Array
    v: Array
    tones: Array  # (2, threads)
    radii: Array  # (2, threads), in threads
    fibres: Array  # (2, 2H, 2W)
    period: float
    tint: Array


def draw(at: Canvas, random: Generator, flaw: Flaw | None) -> Drawing:
    """A piece of cloth, with the flaw if there is one."""
    cloth = spin(canvas(2 * at.x.shape[0]), random)
    clean = woven(cloth)
    if flaw is None:
        return Drawing(clean, clean, np.zeros(at.x.shape))
    flawed, alpha = FLAWS[flaw.kind](at, cloth, clean, flaw)
    return Drawing(clean, flawed, alpha)


def spin(at: Canvas, random: Generator) -> Cloth:
    """The threads of one piece: their period, course, thickness and dye."""
    period, lean = random.uniform(11.0, 12.4), random.normal(0, 0.012, 2)
    shift, bend = random.uniform(0, 2, 2), [1.1 * at.field(random, 90) for _ in range(2)]
    u = (at.x + lean[0] * at.y + bend[0]) / period + shift[0] + 2
    v = (at.y + lean[1] * at.x + bend[1]) / period + shift[1] + 2
    tones = 1 + 0.035 * random.standard_normal((2, 40))
    radii = 0.455 + 0.012 * random.standard_normal((2, 40))
    noise = random.standard_normal((2, *at.x.shape))
    long, short = 3 / at.pixel, 0.5 / at.pixel
    fibres = np.stack(
        [
            ndimage.gaussian_filter(noise[0], (long, short)),
            ndimage.gaussian_filter(noise[1], (short, long)),
        ]
    )
    tint = 1 + random.normal(0, 0.015, 3)
    return Cloth(u, v, tones, radii, 0.05 * fibres / fibres.std(), period, tint)


def woven(cloth: Cloth, without: int | None = None) -> Array:
    """The cloth (H, W, 3) seen from above; without: a warp thread that is gone."""
    i, j = np.floor(cloth.u).astype(int), np.floor(cloth.v).astype(int)
    warp = bulge(cloth.u - i - 0.5, cloth.radii[0][i])
    weft = bulge(cloth.v - j - 0.5, cloth.radii[1][j])
    warp += np.where(i % 2, -0.42, 0.42) * np.sin(np.pi * cloth.v)
    weft -= np.where(j % 2, -0.42, 0.42) * np.sin(np.pi * cloth.u)
    warp[i == without] = -1.0
    height = np.maximum(np.maximum(warp, weft), -0.6)
    slope_y, slope_x = np.gradient(height)
    step = cloth.period * cloth.u.shape[0] / 256 / 3
    light = 1 - step * (0.5 * slope_x + 0.6 * slope_y)
    light /= np.sqrt(1 + (step * slope_x) ** 2 + (step * slope_y) ** 2)
    depth = np.clip(0.42 + 0.62 * (height + 0.25), 0.22, 1.05)
    on_top = (warp > weft)[..., None]
    tone = np.where(warp > weft, cloth.tones[0][i] + cloth.fibres[0], 0)
    tone = np.where(warp > weft, tone, cloth.tones[1][j] + cloth.fibres[1])
    shade = np.clip(light, 0.25, 1.5) * depth * tone
    return halved(np.where(on_top, WARP, WEFT) * shade[..., None]) * cloth.tint


def bulge(offset: Array, radius: Array) -> Array:
    """Height of a round thread across its width, far below where there is none."""
    inside = radius**2 - offset**2
    return np.where(inside > 0, np.sqrt(np.maximum(inside, 0)), -0.9)


def broken_thread(at: Canvas, cloth: Cloth, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """A stretch of one warp thread is gone; its ends stick out."""
    random = flaw.random
    row, column = random.uniform(60, 196, 2)
    u, v = halved(cloth.u), halved(cloth.v)
    centre = tuple((np.array((row, column)) / at.pixel).astype(int))
    thread, middle = int(np.floor(u[centre])), v[centre]
    half = flaw.between(2.2, 5) * random.uniform(0.8, 1.2)
    gap = flaw.between(0.62, 0.45) * woven(cloth, thread)
    across, along = np.abs(u - thread - 0.5) - 0.52, np.abs(v - middle) - half
    alpha = at.cover(np.maximum(across, along) * cloth.period)
    for end in (-half, half):
        reach = ((u - thread - 0.5) ** 2 + (v - middle - end) ** 2).argmin()
        start = np.array((at.x.flat[reach], at.y.flat[reach]))
        for _ in range(random.integers(2, 4)):
            angle = random.normal(-np.sign(end) * np.pi / 2, 0.9)
            points = wander(random, Way(start, angle, flaw.between(7, 14)), 0.35)
            hair = at.cover(line_distance(at, points) - 0.6)
            gap, alpha = blend(gap, 1.2 * WARP, hair), np.maximum(alpha, hair)
    return gap, alpha


def stain(at: Canvas, cloth: Cloth, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """A brown liquid has dried in the cloth, darker at its rim."""
    random = flaw.random
    centre, radius = random.uniform(50, 206, 2), random.uniform(11, 24)
    distance = blot_distance(at, random, centre, radius, 0.28) + 0.8 * at.field(random, 9)
    rim = 0.35 * np.exp(-(((distance + 2) / 2.2) ** 2))
    depth = np.clip(0.75 + 0.12 * at.field(random, 14) + rim, 0, 1.1)
    soaked = clean * (1 - (1 - colour(0.52, 0.36, 0.20)) * depth[..., None])
    return soaked, at.cover(distance, 3.0) * flaw.between(0.6, 1.0)


def hole(at: Canvas, cloth: Cloth, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """The cloth is torn through: a dark gap with loose fibres at its edge."""
    random = flaw.random
    centre, radius = random.uniform(50, 206, 2), flaw.between(9, 17) * random.uniform(0.9, 1.1)
    distance = blot_distance(at, random, centre, radius, 0.3) + 1.2 * at.field(random, 6)
    below = colour(0.09, 0.085, 0.08) + 0.03 * np.clip(distance / radius, -1, 0)[..., None]
    alpha = at.cover(distance)
    gap = np.broadcast_to(below, clean.shape)
    for angle in random.uniform(0, 2 * np.pi, random.integers(7, 12)):
        start = centre + radius * 1.05 * np.array((np.cos(angle), np.sin(angle)))
        inward = angle + np.pi + random.normal(0, 0.7)
        way = Way(start, inward, radius * random.uniform(0.3, 0.6))
        points = wander(random, way, 0.2)
        hair = at.cover(line_distance(at, points) - 0.55)
        tone = WEFT if random.random() < 0.5 else 1.3 * WARP
        gap, alpha = blend(gap, random.uniform(0.5, 0.85) * tone, hair), np.maximum(alpha, hair)
    return gap, alpha


FLAWS = {"broken_thread": broken_thread, "stain": stain, "hole": hole}
