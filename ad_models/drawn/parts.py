"""Parts of a drawn product: which there are, and where."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from ad_models.drawn.surfaces import Surface


@dataclass(frozen=True)
class Part:
    """A shape of one surface. Its bevel catches the light and it throws a shadow."""

    seed: int
    place: tuple[float, float]  # pixels from the centre of the product
    angle: float
    size: float
    surface: Surface
    bevel: float  # pixels
    shadow: float


def drawn_parts(random: Generator, side: int, grey: bool) -> list[Part]:
    """One main part with smaller ones on it, several equal ones, or none: a surface alone."""
    kind = random.choice(4, p=(0.3, 0.35, 0.2, 0.15))
    parts: list[Part] = []

    def add(place: tuple[float, float], size: float) -> None:
        parts.append(
            Part(
                int(random.integers(2**31)),
                place,
                float(random.choice((0, random.uniform(0, 2 * np.pi)))),
                size,
                Surface.drawn(random, grey),
                float(np.exp(random.uniform(-0.5, 2))),
                float(random.uniform(0, 0.6) * (random.random() < 0.5)),
            )
        )

    if kind in (1, 3):
        add(tuple(random.uniform(-0.08, 0.08, 2) * side), random.uniform(0.25, 0.48) * side)
    if kind in (1, 2):
        for _ in range(random.integers(1, 7)):
            add(tuple(random.uniform(-0.35, 0.35, 2) * side), random.uniform(0.04, 0.2) * side)
    if kind == 2 and random.random() < 0.5:  # the same thing in rows
        step, first = random.uniform(0.15, 0.3) * side, parts[0]
        places = [(x, y) for x in (-step, 0, step) for y in (-step, 0, step)]
        parts = [
            Part(first.seed, p, first.angle, 0.4 * step, first.surface, first.bevel, first.shadow)
            for p in places
        ]
    return parts
