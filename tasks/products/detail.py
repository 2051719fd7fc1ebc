"""How fine a size shows the picture, and what a finer one takes."""

from dataclasses import dataclass

from tasks.images.tiles import count_tiles
from tasks.products.image_summary import SIDE, ImageSummary

STRIDE = 8  # pixels, as seen, of one position of a map from layer2 of a ResNet: PatchCore's
WORTH = 1.5  # pixels of a picture for one that is seen: below, finer is hardly finer
FINER = 2  # times as many pixels of each side


@dataclass(frozen=True)
class Detail:
    position: int  # of PatchCore's map: pixels of a side in the picture
    size: tuple[int, int]  # (height, width) at which it is half of that
    times: int  # as long as at the proposed size
    tile: int
    tiled: int  # times as long, by tiles of that side


def detail(seen: ImageSummary) -> Detail | None:
    """What the proposed size shows, and what a finer one takes; None where there is nothing finer
    to see."""
    if seen.shrunk < WORTH:
        return None
    height, width = seen.size
    size = FINER * height, FINER * width
    tile = min(SIDE, *size)
    return Detail(
        position=round(STRIDE * seen.shrunk),
        size=size,
        times=FINER**2,
        tile=tile,
        tiled=round(count_tiles(size, tile) * tile * tile / (height * width)),
    )
