"""The layout of each public set: every image with its category, its place and its mask.

A layout is a function of the unpacked folder. Extra folders around the set make no difference.
Places follow the MVTec AD layout (tasks/images/layout.py).
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.arrival.by_layout import layout_root
from tasks.images.layout import MASKS, image_files, is_mask, pair_masks
from tasks.images.read_image import read_mask
from tasks.workspace.errors import DataError

FIRST_TEST = 313835  # capture number of magnetic tiles; see `magnetic_tile`


@dataclass(frozen=True)
class Item:
    """An image file, its mask file, and its place in our layout: <split>/<label>/<name>."""

    category: str
    place: PurePosixPath
    file: Path
    mask: Path | None = None


Layout = Callable[[Path], Iterator[Item]]


def mvtec(folder: Path) -> Iterator[Item]:
    """MVTec AD and MPDD: our own layout, in one folder for each category."""
    roots: dict[PurePosixPath, list[PurePosixPath]] = {}
    for path in image_files(folder):
        if (root := layout_root(path)) is not None:
            roots.setdefault(root, []).append(path.relative_to(root))
    for root, paths in roots.items():
        masks, _ = pair_masks(paths)
        for place in (path for path in paths if not is_mask(path)):
            mask = folder / root / masks[place] if place in masks else None
            # an archive with one category may have no folder with its name
            yield Item(root.name or folder.name, place, folder / root / place, mask)


def btad(folder: Path) -> Iterator[Item]:
    """<category>/train/ok, test/ok, test/ko, ground_truth/ko/<stem>, with masks PNG or BMP."""
    for path in image_files(folder):
        if len(path.parts) < 4 or path.parts[-3] not in ("train", "test"):
            continue
        *above, category, split, label, name = path.parts
        good = label == "ok"
        truth = folder.joinpath(*above, category, MASKS, label)
        mask = None if good else first_file(truth.glob(f"{path.stem}.*"))
        place = PurePosixPath(split, "good" if good else label, name)
        yield Item(category, place, folder / path, mask)


def visa(folder: Path) -> Iterator[Item]:
    """The split of one class, of split_csv/1cls.csv: object, split, label, image, mask."""
    table = first_file(folder.rglob("split_csv/1cls.csv"))
    if table is None:
        raise DataError(
            f"{folder}: no split_csv/1cls.csv, which says what VisA trains and tests on"
        )
    root = table.parents[1]
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            image = PurePosixPath(row["image"])
            label = "good" if row["label"] == "normal" else "bad"
            mask = root / row["mask"] if row["mask"] and label == "bad" else None
            place = PurePosixPath(row["split"], label, image.name)
            if (root / image).is_file():  # false for a category that was not unpacked
                yield Item(row["object"], place, root / image, mask)


def kolektor(folder: Path) -> Iterator[Item]:
    """train/<n>.png and test/<n>.png, each with a mask <n>_GT.png, which is empty for a good part.

    Training images with a defect are used for thresholds: a fit uses only good images.
    """
    for path in image_files(folder):
        mask = folder / path.with_name(f"{path.stem}_GT.png")
        if path.parent.name not in ("train", "test") or not mask.is_file():
            continue  # not an image, or a copy that is in the archive by mistake
        bad = bool(read_mask(mask).any())
        split = "calibration" if bad and path.parent.name == "train" else path.parent.name
        place = PurePosixPath(split, "defect" if bad else "good", path.name)
        yield Item("kolektor-sdd2", place, folder / path, mask if bad else None)


def magnetic_tile(folder: Path) -> Iterator[Item]:
    """MT_<label>/Imgs/exp<light>_num_<n>.jpg with a mask .png of the same name; MT_Free is good.

    The authors give no split. Each tile has images under about six lights, with consecutive
    numbers. Good tiles from number FIRST_TEST on are test images, so that no tile is in both parts.
    """
    for path in image_files(folder):
        if path.suffix != ".jpg" or path.parent.name != "Imgs":
            continue
        label = path.parts[-3].removeprefix("MT_").lower()
        number = re.search(r"_num_(\d+)$", path.stem)
        if label != "free":
            mask = folder / path.with_suffix(".png")
            place = PurePosixPath("test", label, path.name)
            yield Item("magnetic-tile", place, folder / path, mask if mask.is_file() else None)
        elif number:
            split = "test" if int(number[1]) >= FIRST_TEST else "train"
            yield Item("magnetic-tile", PurePosixPath(split, "good", path.name), folder / path)


def first_file(found: Iterator[Path]) -> Path | None:
    return next(iter(sorted(found)), None)


LAYOUTS: dict[str, Layout] = {
    layout.__name__: layout for layout in (mvtec, btad, visa, kolektor, magnetic_tile)
}
