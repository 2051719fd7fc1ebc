"""Write a public set in our layout: a folder for each category, with source and licence."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tasks.arrival.public.catalogue import PublicSet, product_name
from tasks.arrival.public.layouts import LAYOUTS, Item
from tasks.images.layout import MASKS
from tasks.images.read_image import read_mask
from tasks.workspace.errors import DataError
from tasks.workspace.files import folder_beside, write_json, write_rows, writing

SOURCE = "SOURCE.json"
TABLE = "products.csv"
Take = Callable[[Path, Path], object]


def write_products(
    known: PublicSet, unpacked: Path, folder: Path, wanted: list[str], take: Take
) -> dict[str, str]:
    """Write `folder/<category>` for each wanted category in `unpacked`; the image counts of each,
    as text.

    A category folder appears complete or not at all. take: moves an unpacked image to its place, or
    copies it if the folder belongs to the user.
    """
    found: dict[str, list[Item]] = {}
    for item in LAYOUTS[known.layout](unpacked):
        found.setdefault(item.category, []).append(item)
    if not any(name in found for name in wanted):
        raise DataError(
            f"{unpacked} holds none of {', '.join(wanted)} in the layout of {known.title}; "
            f"it should be {known.file}, or what that unpacks to"
        )
    counts = {}
    for category in (name for name in wanted if name in found):
        with writing(folder), folder_beside(folder / category) as partial:
            counts[category] = write_category(found[category], partial, take)
    return counts


def write_category(found: list[Item], folder: Path, take: Take) -> str:
    """Write images and masks of one category; their counts as text."""
    counts: Counter[str] = Counter()
    for item in found:
        target = folder / item.place
        target.parent.mkdir(parents=True, exist_ok=True)
        take(item.file, target)
        counts[f"{item.place.parts[0]}/{item.place.parts[1]}"] += 1
        if item.mask and write_mask(item.mask, folder, item.place):
            counts["masks"] += 1
    if not counts["train/good"]:
        raise DataError(f"{found[0].category}: no training image found; is the archive whole?")
    defects = sum(
        n for name, n in counts.items() if name.startswith("test/") and "good" not in name
    )
    aside = sum(n for name, n in counts.items() if name.startswith("calibration/"))
    text = f"{counts['train/good']} good to train on, {counts['test/good']} good and {defects} "
    text += f"defective to test, {counts['masks']} masks"
    return text + (f", {aside} defective that set thresholds" if aside else "")


def write_mask(mask: Path, folder: Path, place: PurePosixPath) -> bool:
    """Write a mask with the values 0 and 255; False if it marks nothing."""
    marked = read_mask(mask)
    if not marked.any():
        return False
    target = folder / MASKS / place.parts[1] / f"{place.stem}_mask.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(marked.astype(np.uint8) * 255).save(target)
    return True


def write_source_files(
    name: str, known: PublicSet, folder: Path, address: str, sha256: str
) -> Path:
    """Write source and licence beside the images, and the table for `inspectline new`; the table's
    path."""
    source = {"archive": address, "sha256": sha256, **known.model_dump(include={"title", "page"})}
    terms = known.model_dump(include={"licence", "terms", "citation"})
    write_json(folder / SOURCE, source | terms)
    rows = [
        {"name": product_name(name, category), "folder": folder / category, **known.spec}
        for category in known.categories
        if (folder / category).is_dir()
    ]
    write_rows(folder / TABLE, ["name", "folder", *known.spec], rows)
    return folder / TABLE
