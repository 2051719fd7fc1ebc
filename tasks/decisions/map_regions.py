"""The regions of a map above the pixel threshold: they are drawn and reported."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tasks.workspace.errors import DataError


class Box(NamedTuple):
    """Pixels of the original image."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class MapRegion:
    """One 8-connected region."""

    area: int  # pixels of the original image
    box: Box
    score: float  # highest map value in the region
    mean: float


def find_map_regions(
    map: np.ndarray,
    threshold: float,
    min_area: int = 1,
    opening: int = 0,
    origin: tuple[int, int] = (0, 0),
) -> list[MapRegion]:
    """Regions of a map (H, W) above the threshold, highest score first.

    The map has the resolution of the original image. opening: radius in pixels; thinner regions are
    removed. min_area: smaller regions are then left out. origin: left and top of the map in the
    image, if it covers only a region of interest.
    """
    from scipy import ndimage  # half a second to import

    if map.ndim != 2 or np.isnan(map).any():
        raise DataError(
            f"a map {map.shape} with {np.isnan(map).sum()} NaN; give (H, W) of numbers, "
            "or fit the model again if it gave none"
        )
    labels, count = ndimage.label(
        morphological_opening(map > threshold, opening), structure=np.ones((3, 3))
    )
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        if areas[number] < min_area:
            continue
        inside = map[rows, columns][labels[rows, columns] == number].astype(np.float64)
        left, top = columns.start + origin[0], rows.start + origin[1]
        box = Box(left, top, columns.stop - columns.start, rows.stop - rows.start)
        mean = float(inside.mean())
        found.append(MapRegion(int(areas[number]), box, float(inside.max()), mean))
    return sorted(found, key=lambda one: (-one.score, -one.area, one.box))


def reported_pixels(map: np.ndarray, threshold: float, min_area: int, opening: int) -> np.ndarray:
    """The pixels (H, W) of a map that belong to the regions of `find_map_regions`."""
    above = morphological_opening(map > threshold, opening)
    if min_area == 1 or not above.any():
        return above
    from scipy import ndimage

    labels, _ = ndimage.label(above, structure=np.ones((3, 3)))
    return above & (np.bincount(labels.ravel())[labels] >= min_area)


def morphological_opening(mask: np.ndarray, radius: int) -> np.ndarray:
    """The union of all discs of this radius (pixels) that fit into the mask (H, W).

    A disc may reach over the edge of the image, so that defects at the edge are not lost. We use
    distances instead of a structuring element: the cost is the same for every radius.
    """
    from scipy.ndimage import distance_transform_edt as distance

    if radius == 0 or mask.all() or not mask.any():
        return mask
    centres = distance(mask) > radius  # every pixel within the radius is in the mask
    if not centres.any():
        return centres
    return np.asarray(distance(~centres) <= radius)
