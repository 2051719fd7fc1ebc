"""What a file of annotations says of one image, whichever form the file has."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.images.polygons import Points, filled
from tasks.workspace.errors import DataError

Mask = NDArray[np.bool_]  # (H, W)
Shape = tuple[int, int]  # height and width, pixels
MOST = 10_000  # marks of one image


@dataclass(frozen=True)
class Mark:
    """One marked area. where: file and entry; draw: its pixels in a picture of a shape, ValueError
    where it cannot be drawn; shape: of the picture that it was drawn on, where the file says it."""

    where: str
    draw: Callable[[Shape], Mask]
    shape: Shape | None = None


@dataclass
class Entry:
    """names: of the labels that the file gives the image; none where it does not say one."""

    where: str
    name: str  # of the image, as the file has it
    names: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    split: str | None = None
    mask: str = ""  # the name of a file
    problem: str = ""  # why the image is not taken


@dataclass(frozen=True)
class Drawing:
    """A mask that is drawn once the size of its image is known."""

    where: str
    marks: tuple[Mark, ...]

    def png(self, shown: Shape) -> bytes:
        """The mask as PNG of 0 and 255, of the size that its image has as a viewer shows it, or
        turned where the marks were drawn so; DataError with file and entry."""
        if len(self.marks) > MOST:
            raise DataError(f"{self.where}: {len(self.marks):,} marks; join them, at most {MOST:,}")
        shapes = {mark.shape or shown: mark for mark in self.marks}
        for shape, mark in shapes.items():
            if shape not in (shown, shown[::-1]) or len(shapes) > 1:
                raise DataError(
                    f"{mark.where}: drawn on {shape[1]} x {shape[0]} pixels, but its image has "
                    f"{shown[1]} x {shown[0]}; export images and annotations together"
                )
        mask = np.zeros(next(iter(shapes)), bool)
        for mark in self.marks:
            try:
                mask |= mark.draw(mask.shape)
            except ValueError as error:
                raise DataError(f"{mark.where}: {error}") from error
        file = io.BytesIO()
        Image.fromarray(mask.astype(np.uint8) * 255).save(file, "PNG")
        return file.getvalue()


def polygon(points: Any) -> Callable[[Shape], Mask]:
    """Draws a polygon through points (n, 2); ValueError, when it draws, where they are none."""

    def draw(shape: Shape) -> Mask:
        try:
            array: Points = np.array(points, np.float64).reshape(-1, 2)
        except (ValueError, TypeError, OverflowError):
            raise ValueError("its polygon is no list of pairs of numbers") from None
        return filled(array, shape)

    return draw


def box(left: float, top: float, width: float, height: float) -> list[tuple[float, float]]:
    """The corners of a box."""
    return [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]


def shape_said(height: Any, width: Any) -> Shape | None:
    """A shape, where the file says one."""
    numbers = [int(n) for n in (height, width) if isinstance(n, int | float) and n > 0]
    return (numbers[0], numbers[1]) if len(numbers) == 2 else None
