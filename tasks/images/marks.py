"""Which pixels a mask marks. This is the one place that decides it.

- Where parts of the picture are transparent, what can be seen is marked. If there is both bright
  and black to see, only the bright is.
- A grey is the edge of what it surrounds (blurred, or JPEG): above half of the brightest value it
  is marked. But greys that stand alone are types of defects, and mark: see `are_types`.
- A mask that marks nearly all, or a frame around what it leaves out, is refused: it is inverted, or
  drawn in colour on white.
"""

from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from tasks.images.decode import Picture
from tasks.workspace.errors import DataError

Marks = NDArray[np.bool_]
NEARLY_ALL = 0.95  # share of the pixels
LARGE = 0.5  # share above which a mask is doubted
INDEXES = 32  # values up to here are numbers of types and not greys
FEW_VALUES = 8  # of a picture of types; an edge has more
NOISE = 1 / 8  # of the brightest value: what is darker may be what JPEG leaves around an edge
REMEDY = "mark the defect bright on black, or leave the mask out"


def marked_pixels(picture: Picture, name: PurePath | str) -> Marks:
    """Marked pixels (H, W) of a mask that was decoded with its alpha; DataError if it cannot be
    meant so. It may mark nothing."""
    marks = marks_of(picture)
    share = float(marks.mean())
    if share > NEARLY_ALL:
        raise DataError(f"{name}: the mask marks {100 * share:.0f} % of its image; {REMEDY}")
    if share > LARGE and is_frame(marks):
        raise DataError(
            f"{name}: the mask marks the whole border and {100 * share:.0f} % of its image, so it "
            f"looks inverted; {REMEDY}"
        )
    return marks


def marks_of(picture: Picture) -> Marks:
    values, lossy = picture.pixels.max(axis=2), picture.format == "JPEG"
    if picture.alpha is None or picture.alpha.all():
        return bright(values, lossy)
    seen = bright(picture.alpha, lossy)
    lit = values[seen] > 0
    return seen if lit.all() or not lit.any() else bright(np.where(seen, values, 0), lossy)


def bright(values: np.ndarray, lossy: bool) -> Marks:
    """The marked ones among the values (H, W) of a picture."""
    top = int(values.max())
    if top <= INDEXES:
        return np.zeros(values.shape, bool) if lossy else values > 0
    return values > (top / 2 if lossy or not are_types(values, top) else 0)


def are_types(values: np.ndarray, top: int) -> bool:
    """Whether dark values (H, W) are types of defects, and not edges of something brighter.

    A pixel of an edge has a brighter neighbour. So of few values one pixel without is enough. Many
    values are types only if most dark pixels have eight neighbours of the same value.
    """
    if np.count_nonzero(np.bincount(values.ravel())[1:]) <= FEW_VALUES:
        dark = (values > 0) & (values <= top / 2)
        return bool((dark & (brightest_around(values) <= values)).any() or not dark.any())
    dark = (values > NOISE * top) & (values <= top / 2)
    flat = (brightest_around(values) == values) & (brightest_around(top - values) == top - values)
    return bool(np.count_nonzero(dark & flat) > np.count_nonzero(dark) / 2)


def brightest_around(values: np.ndarray) -> np.ndarray:
    """The largest value of each pixel (H, W) and its 8 neighbours."""
    rows = np.pad(values, ((1, 1), (0, 0)), mode="edge")
    tall = np.maximum(np.maximum(rows[:-2], rows[1:-1]), rows[2:])
    columns = np.pad(tall, ((0, 0), (1, 1)), mode="edge")
    return np.maximum(np.maximum(columns[:, :-2], columns[:, 1:-1]), columns[:, 2:])


def is_frame(marks: Marks) -> bool:
    """Whether all of the border is marked."""
    edges = (marks[0], marks[-1], marks[:, 0], marks[:, -1])
    return all(bool(edge.all()) for edge in edges)
