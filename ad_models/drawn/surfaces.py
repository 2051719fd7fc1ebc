"""Surfaces: textures in 0..1 that a seed draws, each picture a little differently."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.spatial import cKDTree

from ad_models.drawn.canvas import Array, Canvas

Texture = Callable[[Canvas, Generator, Generator], Array]


def flat(at: Canvas, kind: Generator, one: Generator) -> Array:
    return np.full((at.side, at.side), 0.5, np.float32)


def grain(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Noise of one scale, round or stretched: cast metal, brushed metal, wood."""
    length, stretch = (
        np.exp(kind.uniform(0, 2.5)),
        np.exp(kind.uniform(0, 3) * (kind.random() < 0.5)),
    )
    return 0.5 + 0.2 * at.noise(one, length, stretch, kind.uniform(0, np.pi))


def rough(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Noise without a scale: stone, rust, paper."""
    return 0.5 + 0.2 * at.rough(one, kind.uniform(0.3, 1.8))


def speckles(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Grains of another colour: granite, terrazzo."""
    field = at.noise(one, np.exp(kind.uniform(0.7, 2.5)))
    return np.clip(4 * (field - kind.uniform(0.3, 1.8)) + 0.5, 0, 1)


def waves(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Stripes, straight or warped: ribs, threads, marble."""
    p, _ = at.frame((0, 0), kind.uniform(0, np.pi))
    length, warp = np.exp(kind.uniform(1, 3.2)), kind.choice((0, 0, 1)) * kind.uniform(0, 3)
    phase = 2 * np.pi * p / length + _phase(kind, one)
    if warp:
        phase = phase + warp * at.noise(one, kind.uniform(15, 40))
    sharp = np.exp(kind.uniform(0, 2.5))
    return 0.5 + 0.5 * np.tanh(sharp * np.sin(phase)) / np.tanh(sharp)


def weave(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Threads over and under each other, or a check: cloth, carpet, mesh."""
    p, q = at.frame((0, 0), kind.uniform(0, np.pi))
    length, other = np.exp(kind.uniform(1.2, 2.8)), np.exp(kind.uniform(-0.3, 0.3))
    u = np.pi * p / length + _phase(kind, one)
    v = np.pi * q / (length * other) + _phase(kind, one)
    over = np.sign(np.sin(u) * np.sin(v)) if kind.random() < 0.7 else np.ones_like(u)
    thread = np.where(over > 0, np.abs(np.sin(u)), 0.8 * np.abs(np.sin(v)))
    return (thread ** kind.uniform(0.3, 2)).astype(np.float32)


def cells(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Stones with joints, foam, leather."""
    count = int(np.exp(kind.uniform(2.5, 5.5)))
    points = one.uniform(-0.6, 0.6, (count, 2)) * at.side
    if kind.random() < 0.4:  # on a grid
        step = at.side / np.sqrt(count)
        points = step * np.round(points / step) + one.normal(
            0, kind.uniform(0, 0.2) * step, (count, 2)
        )
        points = points + _phase(kind, one)
    spots = np.stack(np.broadcast_arrays(at.x, at.y), -1)
    near, _ = cKDTree(points).query(spots, k=2)
    gap = near[..., 1] - near[..., 0] if kind.random() < 0.6 else near[..., 0]
    return np.clip(gap / (kind.uniform(0.1, 1) * at.side / np.sqrt(count)), 0, 1).astype(np.float32)


def dots(at: Canvas, kind: Generator, one: Generator) -> Array:
    """A grid of dots or holes: perforated sheet, print."""
    p, q = at.frame((0, 0), kind.uniform(0, np.pi))
    step = np.exp(kind.uniform(1.6, 3.2))
    u, v = p / step + _phase(kind, one), q / step + _phase(kind, one)
    if kind.random() < 0.5:
        u = u + 0.5 * (np.floor(v) % 2)
    reach = np.hypot(u - np.floor(u) - 0.5, v - np.floor(v) - 0.5) * step
    return np.clip(0.5 + kind.uniform(0.15, 0.4) * step - reach, 0, 1).astype(np.float32)


def rings(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Turned metal, growth rings, a fan of rays."""
    p, q = at.frame(tuple(kind.uniform(-0.4, 0.4, 2) * at.side), 0)
    if kind.random() < 0.7:
        track = np.hypot(p, q) / np.exp(kind.uniform(0.7, 2.5))
    else:
        track = np.arctan2(q, p) * kind.integers(4, 40) / (2 * np.pi)
    track = track + kind.uniform(0, 0.5) * at.noise(one, 30)
    return (0.5 + 0.5 * np.sin(2 * np.pi * track)).astype(np.float32)


def flakes(at: Canvas, kind: Generator, one: Generator) -> Array:
    """Fibres that lie in all directions: felt, chipboard, fleece."""
    field = np.zeros((at.side, at.side), np.float32)
    length, stretch = np.exp(kind.uniform(0.3, 1.5)), kind.uniform(4, 15)
    for angle in kind.uniform(0, np.pi, kind.integers(2, 5)):
        field = np.maximum(field, at.noise(one, length, stretch, angle))
    return np.clip(0.3 * field, 0, 1)


def _phase(kind: Generator, one: Generator) -> float:
    """Where a pattern begins: fixed to the part, or anywhere."""
    fixed, free = kind.uniform(0, 2 * np.pi), one.uniform(0, 2 * np.pi)
    return fixed if kind.random() < 0.4 else free


TEXTURES: tuple[Texture, ...] = (
    flat, flat, grain, grain, rough, rough, speckles, waves, weave, cells, dots, rings, flakes,
)  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """Textures over each other, between two colours, and how they stand out against the light."""

    textures: tuple[tuple[Texture, float], ...]  # each with its weight
    seed: int
    low: tuple[float, ...]  # three colours
    high: tuple[float, ...]
    relief: float

    @staticmethod
    def drawn(random: Generator, grey: bool) -> "Surface":
        chroma = random.choice((0.03, 0.1, 0.3))  # few parts are as colourful as toys
        low = (random.uniform(0.04, 0.96) + chroma * random.normal(0, 1, 3)).astype(np.float32)
        contrast = random.choice((0.05, 0.15, 0.4))
        change = random.choice((-1, 1)) * random.uniform(0.5, 1.5) + 0.3 * random.normal(0, 1, 3)
        high = low + (contrast * change).astype(np.float32)
        if grey:
            low, high = np.full(3, low[0]), np.full(3, high[0])
        count = random.choice((1, 2, 3), p=(0.5, 0.3, 0.2))
        chosen = [TEXTURES[n] for n in random.integers(len(TEXTURES), size=count)]
        weights = [1.0, *map(float, random.uniform(0.2, 0.8, count - 1))]
        textures = tuple(zip(chosen, weights, strict=True))
        relief = random.uniform(0, 0.6) * (random.random() < 0.4)
        low, high = tuple(map(float, low)), tuple(map(float, high))
        return Surface(textures, int(random.integers(2**31)), low, high, float(relief))

    def paint(self, at: Canvas, one: Generator) -> tuple[Array, Array]:
        """Colours (side, side, 3) and height (side, side); `one`: what this picture alone has."""
        field = np.zeros((at.side, at.side), np.float32)
        for number, (texture, weight) in enumerate(self.textures):
            kind = np.random.default_rng([self.seed, number])
            field += weight * (texture(at, kind, one) - 0.5 * (number > 0))
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        return low + field[..., None] * (high - low), self.relief * field
