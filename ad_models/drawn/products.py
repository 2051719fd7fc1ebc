"""Drawn products: parts on a ground under a lamp, before a camera; each picture differs a little.

A product is a seed. Its good pictures differ by what its kind allows: place, angle, light, grain,
small errors of assembly. A defective picture differs by one defect more, and the mask is where that
changed the picture before the camera added its noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from ad_models.drawn.assembly import PART_FLAWS
from ad_models.drawn.canvas import Array, Canvas, edge, lit
from ad_models.drawn.flaws import FLAWS
from ad_models.drawn.parts import Part, drawn_parts
from ad_models.drawn.shapes import outline
from ad_models.drawn.surfaces import Surface

VISIBLE = 0.03  # a change of less than this, of brightness 0..1, is no defect
FEWEST = 12  # pixels of a defect
TRIES = 6


@dataclass(frozen=True)
class Looseness:
    """What differs from one good picture to the next."""

    shift: float  # pixels
    turn: float  # radians
    light: float  # share of the brightness
    parts: float  # pixels by which parts are off their places


@dataclass(frozen=True)
class Product:
    grey: bool
    ground: Surface
    parts: tuple[Part, ...]
    loose: Looseness
    lamp: float  # angle of the light
    blur: float  # of the camera, pixels
    noise: float

    @staticmethod
    def drawn(seed: int, side: int) -> "Product":
        """The product of a seed, for pictures of this side in pixels."""
        random = np.random.default_rng([seed, 0])
        grey = random.random() < 0.3
        parts = tuple(drawn_parts(random, side, bool(grey)))
        loose = Looseness(
            float(random.choice((0.5, 2, 6))),
            float(random.choice((0.01, 0.04, 0.15)) if random.random() < 0.85 else np.pi),
            float(random.choice((0.02, 0.06, 0.25))),
            float(random.choice((0, 0.3, 1))),
        )
        return Product(
            bool(grey),
            Surface.drawn(random, bool(grey)),
            parts,
            loose,
            float(random.uniform(0, 2 * np.pi)),
            float(random.uniform(0.3, 1.1)),
            float(np.exp(random.uniform(-5.5, -3.3))),
        )

    def picture(
        self, at: Canvas, seed: int, defective: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A picture (side, side, 3) and the mask (side, side) of its defect, if it has one."""
        flaw_chance, camera = np.random.default_rng([seed, 1]).spawn(2)
        image = self._scene(at, seed)
        mask = np.zeros(image.shape[:2], bool)
        if defective:
            for _ in range(TRIES):
                if self.parts and flaw_chance.random() < 0.25:
                    again = PART_FLAWS[flaw_chance.integers(len(PART_FLAWS))]
                    flawed = self._scene(at, seed, again(self.parts, flaw_chance, self.grey))
                else:
                    make = FLAWS[flaw_chance.integers(len(FLAWS))]
                    flawed = make(at, flaw_chance, image, self.grey)
                found = np.abs(np.clip(flawed, 0, 1) - np.clip(image, 0, 1)).max(-1) > VISIBLE
                if FEWEST <= found.sum() < 0.5 * found.size:
                    image, mask = flawed, found
                    break
            else:
                return self.picture(at, seed + 1, True)
        return self._photograph(image, camera), mask

    def _scene(self, at: Canvas, seed: int, parts: "tuple[Part, ...] | None" = None) -> Array:
        """What lies under the camera (side, side, 3), without the camera's noise."""
        one, loose = np.random.default_rng([seed, 2]), self.loose
        centre = one.uniform(-loose.shift, loose.shift, 2)
        turn = one.uniform(-loose.turn, loose.turn)
        ground_chance, light_chance, *chances = one.spawn(2 + len(self.parts))
        image, height = self.ground.paint(at, ground_chance)
        c, s = np.cos(turn), np.sin(turn)
        known = {part.seed: chance for part, chance in zip(self.parts, chances, strict=True)}
        for part in self.parts if parts is None else parts:
            chance = known.get(part.seed) or np.random.default_rng([part.seed, 7])
            off = chance.normal(0, 1, 2) * loose.parts
            x, y = part.place
            place = (centre[0] + c * x - s * y + off[0], centre[1] + s * x + c * y + off[1])
            p, q = at.frame(place, turn + part.angle)
            distance = outline(at, np.random.default_rng(part.seed), p, q, part.size)
            if part.shadow:
                image = image * (1 - part.shadow * edge(distance - 3, 8))[..., None]
            colours, relief = part.surface.paint(at, chance)
            cover = edge(distance)
            image = image + cover[..., None] * (colours - image)
            relief = relief + np.clip(-distance / max(part.bevel, 0.5), 0, 1) * part.bevel * 0.15
            height = height + cover * (relief - height)
        slope = lit(height, self.lamp)
        image = image * (1 + 1.5 * slope)[..., None]
        gain = np.exp(light_chance.normal(0, loose.light))
        tilt = light_chance.normal(0, min(loose.light, 0.1), 2) / at.side
        return (image * (gain + tilt[0] * at.x + tilt[1] * at.y)[..., None]).astype(np.float32)

    def _photograph(self, image: Array, camera: Generator) -> NDArray[np.uint8]:
        image = ndimage.gaussian_filter(image, (self.blur, self.blur, 0))
        noise = camera.standard_normal((*image.shape[:2], 1 if self.grey else 3), dtype=np.float32)
        image = image + self.noise * noise
        if self.grey:
            image = np.repeat(image.mean(-1, keepdims=True), 3, -1)
        return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
