"""Outlines of parts as distances in pixels, negative inside."""

import itertools

import numpy as np
from numpy.random import Generator

from ad_models.drawn.canvas import Array, Canvas


def outline(at: Canvas, kind: Generator, p: Array, q: Array, size: float) -> Array:
    """A shape that the seed chooses, about `size` pixels from its centre to its rim."""
    shape = SHAPES[kind.integers(len(SHAPES))]
    return shape(kind, p, q, size).astype(np.float32)


def disc(kind: Generator, p: Array, q: Array, size: float) -> Array:
    ratio = np.exp(kind.uniform(-0.7, 0.7) * (kind.random() < 0.5))
    return (np.hypot(p / ratio, q * ratio) - size) * min(ratio, 1 / ratio)


def ring(kind: Generator, p: Array, q: Array, size: float) -> Array:
    width = kind.uniform(0.06, 0.35) * size
    return np.abs(np.hypot(p, q) - size + width) - width


def box(kind: Generator, p: Array, q: Array, size: float) -> Array:
    ratio, round_ = np.exp(kind.uniform(-1, 1)), kind.uniform(0, 0.4)
    half = np.array((size * min(1, ratio), size * min(1, 1 / ratio)))
    corner = round_ * half.min()
    a, b = np.abs(p) - half[0] + corner, np.abs(q) - half[1] + corner
    return np.hypot(np.maximum(a, 0), np.maximum(b, 0)) + np.minimum(np.maximum(a, b), 0) - corner


def frame(kind: Generator, p: Array, q: Array, size: float) -> Array:
    width = kind.uniform(0.05, 0.2) * size
    return np.abs(box(kind, p, q, size - width)) - width


def star(kind: Generator, p: Array, q: Array, size: float) -> Array:
    """Polygons, stars, gears: a radius that repeats around the centre."""
    around, teeth = np.arctan2(q, p), kind.integers(3, 9)
    depth, sharp = kind.uniform(0.05, 0.4), np.exp(kind.uniform(0, 2))
    if kind.random() < 0.4:
        teeth, depth = kind.integers(8, 36), kind.uniform(0.04, 0.15)
    radius = size * (1 - depth * (0.5 + 0.5 * np.tanh(sharp * np.cos(teeth * around))))
    return np.hypot(p, q) - radius


def polygon(kind: Generator, p: Array, q: Array, size: float) -> Array:
    corners = np.sort(kind.uniform(0, 2 * np.pi, kind.integers(3, 8)))
    reach = size * kind.uniform(0.5, 1, len(corners))
    return np.max(
        [np.cos(a) * p + np.sin(a) * q - r for a, r in zip(corners, reach, strict=True)], 0
    )


def blob(kind: Generator, p: Array, q: Array, size: float) -> Array:
    """Any soft outline: a few waves around a circle."""
    around, radius = np.arctan2(q, p), np.ones_like(p)
    for wave in range(1, 6):
        turn, high = kind.uniform(0, 2 * np.pi), kind.normal(0, 0.25) / wave
        radius = radius + high * np.cos(wave * around + turn)
    return np.hypot(p, q) - size * np.clip(radius, 0.1, 1.6)


def glyph(kind: Generator, p: Array, q: Array, size: float) -> Array:
    """Strokes as of a letter: straight ones and arcs that share points of a small grid."""
    grid = np.array([(x, y) for x in (-0.6, 0, 0.6) for y in (-0.9, 0, 0.9)]) * size
    pen = kind.uniform(0.06, 0.16) * size
    order = kind.permutation(len(grid))[: kind.integers(3, 6)]
    lines = [segment(p, q, grid[a], grid[b]) for a, b in itertools.pairwise(order)]
    if kind.random() < 0.5:
        centre, reach = grid[kind.integers(len(grid))] / 2, kind.uniform(0.3, 0.6) * size
        lines.append(np.abs(np.hypot(p - centre[0], q - centre[1]) - reach))
    return np.min(lines, 0) - pen


def text(kind: Generator, p: Array, q: Array, size: float) -> Array:
    """A row of glyphs."""
    count = kind.integers(3, 7)
    high = 1.6 * size / count
    places = (np.arange(count) - (count - 1) / 2) * 1.5 * high
    return np.min([glyph(kind, p - x, q, 0.8 * high) for x in places], 0)


def bars(kind: Generator, p: Array, q: Array, size: float) -> Array:
    """A bar code, or ribs."""
    edges = np.cumsum(kind.uniform(0.04, 0.2, 24)) * size - size
    edges = edges[edges < size]
    inside = np.searchsorted(edges, p) % 2 == 1
    near = np.min([np.abs(p - place) for place in edges], 0)
    return np.maximum(np.where(inside, -near, near), np.abs(q) - kind.uniform(0.2, 0.8) * size)


def segment(p: Array, q: Array, a: Array, b: Array) -> Array:
    """Distance to the straight way from a to b."""
    way = b - a
    along = ((p - a[0]) * way[0] + (q - a[1]) * way[1]) / max(float(way @ way), 1e-6)
    along = np.clip(along, 0, 1)
    return np.hypot(p - a[0] - along * way[0], q - a[1] - along * way[1])


SHAPES = (disc, ring, box, box, frame, star, star, polygon, blob, glyph, text, bars)
