"""Defects of assembly: parts that are missing, displaced, wrong or too many."""

from collections.abc import Callable
from dataclasses import replace

from numpy.random import Generator

from ad_models.drawn.parts import Part
from ad_models.drawn.surfaces import Surface

Parts = tuple[Part, ...]


def missing(parts: Parts, random: Generator, grey: bool) -> Parts:
    gone = random.integers(len(parts))
    return tuple(part for number, part in enumerate(parts) if number != gone)


def displaced(parts: Parts, random: Generator, grey: bool) -> Parts:
    """One part off its place, turned, of a wrong size."""
    which = random.integers(len(parts))
    part, off = parts[which], random.uniform(3, 12, 2) * random.choice((-1, 1), 2)
    wrong = replace(
        part,
        place=(part.place[0] + off[0], part.place[1] + off[1]),
        angle=part.angle + random.choice((0, random.uniform(0.2, 3))),
        size=part.size * random.choice((1, random.uniform(0.7, 1.3))),
    )
    return *parts[:which], wrong, *parts[which + 1 :]


def another(parts: Parts, random: Generator, grey: bool) -> Parts:
    """One part of another shape or of another surface."""
    which = random.integers(len(parts))
    if random.random() < 0.5:
        wrong = replace(parts[which], seed=int(random.integers(2**31)))
    else:
        wrong = replace(parts[which], surface=Surface.drawn(random, grey))
    return *parts[:which], wrong, *parts[which + 1 :]


def extra(parts: Parts, random: Generator, grey: bool) -> Parts:
    like = parts[random.integers(len(parts))]
    size = min(like.size, 12.0) * random.uniform(0.4, 1)
    place = tuple(random.uniform(-40, 40, 2))
    return *parts, replace(like, seed=int(random.integers(2**31)), place=place, size=size)


PartFlaw = Callable[[Parts, Generator, bool], Parts]
PART_FLAWS: tuple[PartFlaw, ...] = (missing, displaced, another, extra)
