"""The sample product `cap`: a screw cap with a knurled rim, ring text and a printed emblem."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from tasks.arrival.samples.shapes import (
    Array,
    Canvas,
    Drawing,
    Flaw,
    Way,
    blend,
    blot_distance,
    colour,
    line_distance,
    turned,
    wander,
)

DEFECTS = ("smudge", "misprint", "crack")
MODE = "RGB"
RIM, TOP, TEETH = 108.0, 95.0, 48
TEXT = "SPRING WATER  *  STILL  *  50 cl  *  "
LETTERS = (66.0, 84.0)  # radii between which the text stands
INK, PLASTIC, BELT = colour(0.95, 0.95, 0.90), colour(0.06, 0.40, 0.47), colour(0.74, 0.74, 0.72)


@dataclass(frozen=True)
class Cap:
    """p, q: position from the centre of the cap; r, s: from the centre of its print (H, W)."""

    p: Array
    q: Array
    r: Array
    s: Array
    centre: Array
    plastic: Array  # (H, W, 3) the top without its print
    ink: float  # how dense the print came out


def draw(at: Canvas, random: Generator, flaw: Flaw | None) -> Drawing:
    """A cap on a light belt, with the flaw if there is one."""
    cap = mould(at, random)
    clean = blend(cap.plastic, INK, cap.ink * printed(at, cap.r, cap.s))
    if flaw is None:
        return Drawing(clean, clean, np.zeros(at.x.shape))
    flawed, alpha = FLAWS[flaw.kind](at, cap, clean, flaw)
    return Drawing(clean, flawed, alpha)


def mould(at: Canvas, random: Generator) -> Cap:
    """One cap: where it lies, how its print sits, its shade and the light on it."""
    centre, angle = 128 + random.uniform(-2, 2, 2), random.uniform(-0.03, 0.03)
    p, q = turned(at.x - centre[0], at.y - centre[1], angle)
    off, twist = random.normal(0, 0.5, 2), random.normal(0, 0.008)
    r, s = turned(p - off[0], q - off[1], twist)
    reach, around = np.hypot(p, q), np.arctan2(q, p)
    shade = 0.98 + 0.1 * (-p - q) / TOP + 0.012 * at.field(random, 3)
    gloss = 0.16 * np.exp(-((p + 38) ** 2 + (q + 46) ** 2) / random.uniform(1000, 1400))
    tint = PLASTIC * (1 + random.normal(0, 0.02, 3))
    top = tint * shade[..., None] + gloss[..., None]
    facing = np.cos(around + angle + 2.35)
    bead = 0.16 * facing * np.exp(-(((reach - TOP + 2) / 2.5) ** 2))
    teeth = 0.72 + 0.22 * np.cos(TEETH * around) + 0.22 * facing
    skirt = tint * (teeth * np.clip((RIM + 6 - reach) / 12, 0.3, 1))[..., None]
    lid = blend(skirt, top, at.cover(reach - TOP)) + bead[..., None]
    edge = RIM + 1.0 * np.cos(TEETH * around)
    shadow = 0.45 * np.clip(1 - (np.hypot(p - 4, q - 5) - RIM) / 9, 0, 1)
    belt = BELT * (1 + 0.012 * at.field(random, 5) - shadow)[..., None]
    plastic = blend(belt, lid, at.cover(reach - edge))
    return Cap(p, q, r, s, centre, plastic, random.uniform(0.88, 0.96))


def printed(at: Canvas, r: Array, s: Array) -> Array:
    """Coverage (H, W) of the print: ring text, a fine ring, hills and a drop in a disc."""
    reach, around = np.hypot(r, s), np.arctan2(r, -s)
    strip = lettering()
    column = (around / (2 * np.pi) + 0.5) * strip.shape[1]
    line = (LETTERS[1] - reach) / (LETTERS[1] - LETTERS[0]) * strip.shape[0]
    text = ndimage.map_coordinates(strip, (line, column), order=1, mode="grid-constant")
    ring = at.cover(np.abs(reach - 59) - 1.3)
    ridge = 17 - 0.55 * np.abs(np.mod(r + 50, 36) - 18) * 1.6
    hills = at.cover(np.maximum(ridge - s + 2, reach - 52))
    snow = at.cover(np.maximum(np.abs(s - ridge - 9) - 1.4, reach - 50))
    drop_y = s + 22
    width = 12 * np.sqrt(np.clip(1 - (drop_y / 17) ** 2, 0, 1)) * (0.62 + 0.38 * drop_y / 17)
    drop = at.cover(np.maximum(np.abs(r) - np.maximum(width, 0), np.abs(drop_y) - 17))
    shine = at.cover(np.hypot(r + 3, drop_y - 6) - 2.6)
    emblem = np.maximum(hills * (1 - snow), drop * (1 - shine))
    ink: Array = np.maximum(np.maximum(text, ring), emblem)
    return ink


@lru_cache(maxsize=1)
def lettering() -> Array:
    """The text as a strip (36, 900) that is bent around the cap."""
    high, wide = 36, 900
    font = ImageFont.load_default(34)
    strip = Image.new("L", (int(font.getlength(TEXT)), 44))
    ImageDraw.Draw(strip).text((0, 22), TEXT, fill=255, font=font, anchor="lm")
    return np.asarray(strip.resize((wide, high), Image.Resampling.LANCZOS), float) / 255


def smudge(at: Canvas, cap: Cap, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """Wet ink was wiped along a short way."""
    random = flaw.random
    turn, away = random.uniform(0, 2 * np.pi), random.uniform(54, 76)
    centre = cap.centre + away * np.array((np.cos(turn), np.sin(turn)))
    angle, length = random.uniform(0, np.pi), flaw.between(7, 13)
    step = np.array((np.cos(angle), np.sin(angle)))
    ink = printed(at, cap.r, cap.s)
    moves = np.linspace(-1, 1, 9) * length / at.pixel
    wiped = np.mean([ndimage.shift(ink, move * step[::-1], order=1) for move in moves], 0)
    haze = np.clip(0.22 + 0.1 * at.field(random, 8), 0, 1) * flaw.between(0.9, 1.6)
    radius = flaw.between(12, 19) * random.uniform(0.9, 1.1)
    distance = blot_distance(at, random, centre, radius, 0.4) + at.field(random, 7)
    flawed = blend(cap.plastic, INK, np.clip(0.8 * wiped + haze, 0, 0.95))
    inside = at.cover(np.hypot(cap.p, cap.q) - TOP + 3)
    return flawed, at.cover(distance, 5) * inside * flaw.between(0.75, 1)


def misprint(at: Canvas, cap: Cap, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """A sector of the print is missing or sits in the wrong place."""
    random = flaw.random
    half = flaw.between(0.28, 0.6) * random.uniform(0.9, 1.2)
    middle = random.uniform(-np.pi, np.pi)
    apart = np.abs(np.mod(np.arctan2(cap.q, cap.p) - middle + np.pi, 2 * np.pi) - np.pi)
    sector = at.cover((apart - half) * np.hypot(cap.p, cap.q))
    right = printed(at, cap.r, cap.s)
    wrong = np.zeros_like(right)
    if random.random() < 0.5:
        move = flaw.between(3.5, 7) * np.array((np.cos(middle), np.sin(middle)))
        r, s = turned(cap.r + move[0], cap.s + move[1], flaw.between(0.04, 0.1))
        wrong = printed(at, r, s)
    ink = right + (wrong - right) * sector
    patches, _ = ndimage.label(np.abs(ink - right) > 0.1, np.ones((3, 3)))
    areas = np.bincount(patches.ravel()) * at.pixel**2
    areas[0] = 0  # what is no patch
    changed = (areas > 15)[patches].astype(float)  # specks stay as they were
    return blend(cap.plastic, INK, cap.ink * ink), changed


def crack(at: Canvas, cap: Cap, clean: Array, flaw: Flaw) -> tuple[Array, Array]:
    """The plastic has split from the rim inwards; one edge of the split catches the light."""
    random = flaw.random
    turn = random.uniform(0, 2 * np.pi)
    start = cap.centre + (RIM - 6) * np.array((np.cos(turn), np.sin(turn)))
    length = flaw.between(38, 95)
    main = wander(random, Way(start, turn + np.pi + random.normal(0, 0.25), length), 0.05, 0.45)
    branches = [main]
    for _ in range(random.integers(1, 3)):
        fork = main[random.integers(2, len(main) - 1)]
        angle = turn + np.pi + random.choice((-1, 1)) * random.uniform(0.5, 1.0)
        way = Way(fork, angle, length * random.uniform(0.2, 0.4))
        branches.append(wander(random, way, 0.05, 0.4))
    width = flaw.between(0.9, 1.4)
    split = np.min([line_distance(at, points) for points in branches], 0)
    lit = np.min([line_distance(at, points + 1.4 * width) for points in branches], 0)
    flawed = blend(clean, colour(0.62, 0.78, 0.80), 0.8 * at.cover(lit - 0.8 * width))
    flawed = blend(flawed, colour(0.02, 0.06, 0.08), at.cover(split - width))
    inside = at.cover(np.hypot(cap.p, cap.q) - RIM)
    return flawed, inside * np.maximum(at.cover(split - width), at.cover(lit - 0.8 * width))


FLAWS = {"smudge": smudge, "misprint": misprint, "crack": crack}
