"""The defective regions of masks, and how well each was found."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.metrics.pixel_intervals import ImageCounts
from tasks.metrics.ranking import (
    Bools,
    Counts,
    Floats,
    Ranking,
    rank_positives,
)

Labels = NDArray[np.int32]


class Region(NamedTuple):
    """One 8-connected region of a mask."""

    image: int  # counted from 0, in the order of the updates
    number: int  # counted from 1 within its image
    type: str | None  # the image's label
    pixels: int
    box: tuple[int, int, int, int]  # top, left, bottom, right; the last two are outside
    peak: float  # highest score in the region


def label_regions(mask: Bools) -> tuple[Labels, int]:
    """Numbers 1..n of the 8-connected regions (H, W), and n."""
    from scipy import ndimage  # half a second to import

    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    return labels, count


def find_regions(scores: Floats, labels: Labels, image: int, type: str | None) -> list[Region]:
    """The regions of one image, from scores (H, W) and region numbers (H, W)."""
    from scipy import ndimage

    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        inside = scores[rows, columns][labels[rows, columns] == number]
        box = (rows.start, columns.start, rows.stop, columns.stop)
        found.append(Region(image, number, type, inside.size, box, float(inside.max())))
    return found


@dataclass(frozen=True)
class RankedMaps:
    """The ranked data of all maps."""

    regions: list[Region]
    owners: Labels  # (N,) the region of each defective pixel
    which: Labels  # (N,) its level
    counts: Counts  # of background pixels at these levels
    images: ImageCounts | None  # the same for each image, if intervals are needed

    def ranking(self, chosen: Bools | None = None) -> Ranking:
        """Ranking of the defective pixels (all, or of the chosen regions (R,)) against the
        background."""
        kept = np.ones(len(self.regions), bool) if chosen is None else chosen
        # Each region weighs the same, and so does each pixel within it.
        weights = kept / (self.pixels() * max(kept.sum(), 1))
        mine = kept[self.owners]
        return rank_positives(self.which[mine], weights[self.owners[mine]], self.counts)

    def pixels(self) -> Floats:
        """Number of pixels of each region (R,)."""
        return np.array([region.pixels for region in self.regions], float)

    def types(self) -> dict[str, Bools]:
        """For each defect type, the mask (R,) of its regions."""
        types = [region.type for region in self.regions]
        known = sorted({type for type in types if type is not None})
        return {type: np.array([one == type for one in types]) for type in known}
