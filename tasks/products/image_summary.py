"""Facts about a folder of good images, to propose a spec."""

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from statistics import median_low

import numpy as np

from tasks.checks.used_bits import used_bits
from tasks.images.decode import decode_image
from tasks.images.preprocess import gain
from tasks.images.read_image import IMAGE_SUFFIXES, read_bytes, read_image
from tasks.workspace.errors import DataError

LOOKED_AT = 16  # number of images, spread over the folder
GREY = 2 / 255  # channels with smaller differences count as equal
SIDE = 256  # pixels of the shorter side, to which ImageNet's pictures are resized for backbones
LARGER = 2.0  # largest enlargement of small images: more adds no detail
LONGEST = 4.0  # of SIDE squared: the largest area; what an inspection takes grows with it
LARGEST = 16384  # pixels of a side: what a spec takes
MULTIPLE = 32  # of both sides: the deepest layers halve five times
SHAPE = 1.1  # times another aspect ratio: the same shape up to here
APART = 0.1  # difference from the border's colour that marks a part
MARGIN = 0.05  # around a suggested region, as a share of its sides
WORTH = 0.7  # a larger region (share of the image) is not suggested


@dataclass(frozen=True)
class ImageSummary:
    images: int  # good training images
    defects: bool  # whether the test set has any
    tested: bool  # whether it has good parts
    sizes: dict[tuple[int, int], int]  # (height, width) -> images looked at
    grey: bool
    region: tuple[int, int, int, int] | None  # left, top, width, height that holds every part
    bits: int | None = None  # used of 16; None: all, or images of 8

    @property
    def size(self) -> tuple[int, int]:
        """Size (height, width) with the usual aspect ratio and a shorter side of SIDE; smaller
        where the area would be more than LONGEST times that of a square."""
        height, width = self.middle
        scale = SIDE * min(1 / min(height, width), (LONGEST / (height * width)) ** 0.5)
        scale = min(LARGER, scale)
        return round_to_multiple(height * scale), round_to_multiple(width * scale)

    @property
    def middle(self) -> tuple[int, int]:
        """The median height and the median width."""
        height = median_low(h for (h, _), n in self.sizes.items() for _ in range(n))
        width = median_low(w for (_, w), n in self.sizes.items() for _ in range(n))
        return height, width

    @property
    def shrunk(self) -> float:
        """Pixels of a side of a picture that become one pixel of what is seen; below 1 where it is
        enlarged."""
        return max(side / seen for side, seen in zip(self.middle, self.size, strict=True))

    @property
    def differ(self) -> bool:
        """Whether the images have more than one shape."""
        shapes = [width / height for height, width in self.sizes]
        return max(shapes) > SHAPE * min(shapes)


def round_to_multiple(side: float) -> int:
    return min(LARGEST, max(MULTIPLE, MULTIPLE * round(side / MULTIPLE)))


def summarise_images(folder: Path) -> ImageSummary:
    """Read some of the good training images in a product's `images` folder."""
    found = folder / "train" / "good"
    inside = found.iterdir() if found.is_dir() else ()
    paths = sorted(path for path in inside if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataError(f"{found} holds no good image; a product starts from 2 at least")
    sizes: dict[tuple[int, int], int] = {}
    grey, boxes = True, []
    looked = paths[:: -(-len(paths) // LOOKED_AT)]
    bits = bits_of_images(looked)
    for path in looked:
        image = read_image(path) * np.float32(gain(bits) if bits else 1)
        shape = (image.shape[0], image.shape[1])
        sizes[shape] = sizes.get(shape, 0) + 1
        grey = grey and float(spread(image).max()) <= GREY
        boxes.append(part_box(image))
    region = None
    if len(sizes) == 1 and all(box is not None for box in boxes):
        region = region_around([box for box in boxes if box], next(iter(sizes)))
    labels = {path.parent.name for path in folder.glob("test/*/*")}
    defects, tested = bool(labels - {"good"}), "good" in labels
    return ImageSummary(len(paths), defects, tested, sizes, grey, region, bits)


def bits_of_images(paths: list[Path]) -> int | None:
    """The bits that images use, where all have 16 and a camera has fewer."""
    brightest = {}
    for path in paths:
        picture = decode_image(read_bytes(path), path)
        if picture.bits != 16:
            return None
        brightest[str(path)] = int(picture.pixels.max())
    return used_bits(brightest)


def largest_channel(image: np.ndarray) -> np.ndarray:
    """The largest channel (H, W). Channel by channel: numpy is seven times slower along an axis of
    three, and pictures of a phone have 12 million pixels."""
    return reduce(np.maximum, np.moveaxis(image, 2, 0))


def spread(image: np.ndarray) -> np.ndarray:
    """How far apart the channels are (H, W)."""
    return largest_channel(image) - reduce(np.minimum, np.moveaxis(image, 2, 0))


def part_box(image: np.ndarray) -> tuple[int, int, int, int] | None:
    """Box (left, top, right, bottom) of all that differs from the border's colour; None if the
    border has more than one colour."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    background = np.median(border, axis=0)
    if np.abs(border - background).max(axis=1).mean() > APART / 2:
        return None
    apart = largest_channel(np.abs(image - background)) > APART
    rows, columns = np.flatnonzero(apart.any(axis=1)), np.flatnonzero(apart.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def region_around(
    boxes: list[tuple[int, int, int, int]], shape: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The region (left, top, width, height) of all boxes with a margin; None if that is nearly the
    whole image of `shape`."""
    height, width = shape
    left, top = min(box[0] for box in boxes), min(box[1] for box in boxes)
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    across, down = round(MARGIN * (right - left)), round(MARGIN * (bottom - top))
    left, top = max(0, left - across), max(0, top - down)
    right, bottom = min(width, right + across), min(height, bottom + down)
    if (right - left) * (bottom - top) > WORTH * height * width:
        return None
    return left, top, right - left, bottom - top
