"""Defects, from plain to faint: a picture of a part goes in, the picture with a defect comes out.

Each takes the canvas, random numbers, the image (side, side, 3) and whether it is grey.
"""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from ad_models.drawn.canvas import Array, Canvas, edge, lit, warped
from ad_models.drawn.shapes import blob, segment
from ad_models.drawn.surfaces import Surface

Flaw = Callable[[Canvas, Generator, Array, bool], Array]


def spot(at: Canvas, random: Generator) -> Array:
    """A place and outline of any size: distances in pixels."""
    size = np.exp(random.uniform(np.log(2), np.log(0.16 * at.side)))
    p, q = at.frame(tuple(random.uniform(-0.42, 0.42, 2) * at.side), random.uniform(0, np.pi))
    ratio = np.exp(random.uniform(0, 1.2))
    return blob(random, p / ratio, q * ratio, size)


def tone(random: Generator, grey: bool) -> Array:
    """A change of colour, (3,): faint to strong, darker or lighter."""
    strength = np.exp(random.uniform(np.log(0.06), np.log(0.7))) * random.choice((-1, 1))
    way = np.ones(3) if grey or random.random() < 0.5 else random.uniform(-1, 1, 3)
    return (strength * way).astype(np.float32)


def stain(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A spot of another tone with a soft or hard rim, even or cloudy."""
    cover = edge(spot(at, random), np.exp(random.uniform(0, 2.3)))
    if random.random() < 0.4:
        cover = cover * np.clip(0.5 + 0.5 * at.noise(random, random.uniform(2, 6)), 0, 1)
    return image + cover[..., None] * tone(random, grey)


def dirt(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """Several small spots near each other."""
    colour, covers = tone(random, grey), np.zeros(image.shape[:2], np.float32)
    centre, spread = random.uniform(-0.4, 0.4, 2) * at.side, random.uniform(2, 15)
    for _ in range(random.integers(2, 12)):
        p, q = at.frame(tuple(centre + random.normal(0, spread, 2)), 0)
        covers = np.maximum(covers, edge(np.hypot(p, q) - random.uniform(0.5, 2.5), 1.5))
    return image + covers[..., None] * colour


def path(at: Canvas, random: Generator, bend: float) -> Array:
    """Distance in pixels to a line that wanders."""
    step = random.uniform(2, 5)
    count = int(np.exp(random.uniform(np.log(4), np.log(0.9 * at.side))) / step) + 1
    angle = random.uniform(0, 2 * np.pi) + np.cumsum(random.normal(0, bend, count))
    way = np.cumsum(step * np.stack((np.cos(angle), np.sin(angle)), -1), 0)
    points = np.vstack((np.zeros((1, 2)), way)) + random.uniform(-0.4, 0.4, 2) * at.side
    x, y = np.broadcast_arrays(at.x, at.y)
    pieces = [segment(x, y, a, b) for a, b in itertools.pairwise(points)]
    return np.min(pieces, 0).astype(np.float32)


def scratch(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A fine line, nearly straight; one of its rims may catch the light."""
    distance = path(at, random, 0.03)
    cover = edge(distance - random.uniform(0, 1.2), 1.5)
    flawed = image + cover[..., None] * tone(random, grey)
    if random.random() < 0.4:
        return flawed * (1 + 1.5 * lit(-cover, random.uniform(0, 6)))[..., None]
    return flawed


def crack(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A dark line that wanders and grows thinner."""
    distance = path(at, random, 0.5)
    dark = image * random.uniform(0.1, 0.7)
    cover = edge(distance - random.uniform(0, 1.5), 1.2)[..., None]
    return image + cover * (dark - image)


def thread(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A hair or fibre that lies on the part."""
    cover = edge(path(at, random, 0.25) - random.uniform(0.3, 2), 1)[..., None]
    colour = random.uniform(0, 1, 1 if grey else 3).astype(np.float32)
    return image + cover * (colour - image) * random.uniform(0.4, 1)


def dent(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A hollow or bump that only shading shows."""
    distance = spot(at, random)
    height = np.clip(-distance / random.uniform(3, 12), 0, 1)
    height = ndimage.gaussian_filter(height, random.uniform(0.5, 2))
    strength = np.exp(random.uniform(0, 2)) * random.choice((-1, 1))
    return image * (1 + strength * lit(height, random.uniform(0, 2 * np.pi)))[..., None]


def foreign(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A piece of another surface."""
    colours, _ = Surface.drawn(random, grey).paint(at, random)
    cover = edge(spot(at, random), random.uniform(1, 4))[..., None]
    return image + cover * (colours - image) * random.uniform(0.25, 1)


def moved(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A piece that shows what belongs elsewhere: breaks of pattern, chips, repeats."""
    cover = edge(spot(at, random), random.uniform(1, 3))[..., None]
    turns = int(random.integers(0, 4)) if random.random() < 0.5 else 0
    shift = random.integers(4, at.side // 2, 2) * random.choice((-1, 1), 2)
    other = np.roll(np.rot90(image, turns), shift, (0, 1))
    return image + cover * (other - image)


def bent(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """The part is out of shape around one place."""
    reach = random.uniform(4, 0.15 * at.side)
    p, q = at.frame(tuple(random.uniform(-0.4, 0.4, 2) * at.side), 0)
    near = np.exp(-(np.hypot(p, q) ** 2) / (2 * reach**2)).astype(np.float32)
    move = random.uniform(0.3, 1.2) * reach * near
    angle = random.uniform(0, 2 * np.pi)
    return warped(image, move * np.cos(angle), move * np.sin(angle))


def worn(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A place where the pattern is rubbed off, or more rough than elsewhere."""
    cover = edge(spot(at, random), random.uniform(2, 8))[..., None]
    if random.random() < 0.6:
        sigma = random.uniform(1.5, 6)
        other = ndimage.gaussian_filter(image, (sigma, sigma, 0))
    else:
        strength = np.exp(random.uniform(np.log(0.03), np.log(0.2)))
        other = image + strength * at.noise(random, random.uniform(0.3, 3))[..., None]
    return image + cover * (other - image)


def glare(at: Canvas, random: Generator, image: Array, grey: bool) -> Array:
    """A place more or less bright by a factor: wet, oily, burnt."""
    cover = edge(spot(at, random), random.uniform(1, 10))[..., None]
    return image * (1 + cover * (np.exp(random.choice((-1, 1)) * random.uniform(0.1, 0.8)) - 1))


FLAWS: tuple[Flaw, ...] = (
    stain, stain, dirt, scratch, scratch, crack, thread, dent, dent, foreign, moved, moved, bent,
    worn, worn, glare,
)  # fmt: skip
