"""One row for each image of a product: its format, its measures and its mask."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.images.decode import Picture, decode_image
from tasks.images.layout import image_files, is_mask, layout_problem, pair_masks
from tasks.images.measures import THUMBNAIL, area_means, image_facts, luminance, mask_facts
from tasks.images.read_image import mask_pixels, read_bytes
from tasks.workspace.errors import DataError

if TYPE_CHECKING:
    import pandas

COLUMNS = {
    "path": "str",
    "split": "str",
    "label": "str",
    "width": "Int64",
    "height": "Int64",
    "channels": "Int64",
    "bits": "Int64",
    "format": "str",
    "bytes": "Int64",
    "sha256": "str",
    "dhash": "str",
    "brightness": "float64",
    "sharpness": "float64",
    "mask": "str",
    "mask_width": "Int64",
    "mask_height": "Int64",
    "mask_share": "float64",
    "mask_regions": "Int64",
    "error": "str",
}
TEXTS = [name for name, kind in COLUMNS.items() if kind == "str"]


Look = tuple[np.ndarray, int | None]  # thumbnail (32, 32), largest value of 16 bits


@dataclass(frozen=True)
class Scan:
    """Rows sorted by path; thumbnails (32, 32) in 0..1 by path; masks without an image; the largest
    value of each image of 16 bits."""

    rows: list[dict[str, Any]]
    thumbnails: dict[str, np.ndarray]
    orphans: list[str]
    brightest: dict[str, int] = field(default_factory=dict)


def scan_images(
    images: Path, workers: int = 2, report: Callable[[int, int], None] | None = None
) -> Scan:
    """All data for the manifest and the search for near duplicates, in one pass."""
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; ingest images of this product first")
    paths = list(image_files(images))
    masks, orphans = pair_masks(paths)
    pictures = [path for path in paths if not is_mask(path)]
    results = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(
            lambda path: describe_image(images, path, masks.get(path)), pictures
        ):
            results.append(result)
            if report:
                report(len(results), len(pictures))
    seen = {row["path"]: look for row, look in results if look is not None}
    return Scan(
        [row for row, _ in results],
        {path: thumbnail for path, (thumbnail, _) in seen.items()},
        [str(path) for path in orphans],
        {path: most for path, (_, most) in seen.items() if most is not None},
    )


def describe_image(
    images: Path, path: PurePosixPath, mask: PurePosixPath | None
) -> tuple[dict[str, Any], Look | None]:
    """The row of one image, and its look if the image is readable."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | dict.fromkeys(TEXTS, "")
    row |= {"path": str(path), "mask": str(mask or ""), "error": layout_problem(path)}
    if len(path.parts) == 3:
        row |= {"split": path.parts[0], "label": path.parts[1]}
    if row["error"]:
        return row, None
    try:
        data = read_bytes(images / path)
        row |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        picture = decode_image(data, path)
        grey = luminance(picture)
        row |= image_facts(picture, grey)
        if row["split"] == "train" and not row["sharpness"] and is_blank(picture):
            raise DataError(f"{path}: shows nothing (one value everywhere); remove it from train")
        if mask:
            row |= mask_facts(mask_pixels(read_bytes(images / mask), mask))
    except DataError as error:
        row["error"] = str(error).replace(f"{images}/", "").removeprefix(f"{path}: ")
        return row, None
    most = int(picture.pixels.max()) if picture.bits == 16 else None
    return row, (area_means(grey, THUMBNAIL, THUMBNAIL), most)


def is_blank(picture: Picture) -> bool:
    """Whether all pixels are the same."""
    return bool((picture.pixels == picture.pixels[0, 0]).all())


def manifest_frame(rows: list[dict[str, Any]]) -> "pandas.DataFrame":
    """Rows as a table with the columns and types of the manifest."""
    import pandas

    return pandas.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def write_image_manifest(frame: "pandas.DataFrame", path: Path) -> None:
    """Write the table as CSV; equal tables give equal bytes."""
    text = frame[list(COLUMNS)].to_csv(index=False, lineterminator="\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def read_image_manifest(path: Path) -> "pandas.DataFrame":
    """Table that `write_image_manifest` wrote."""
    import pandas

    try:
        return pandas.read_csv(
            path,
            dtype=COLUMNS,
            keep_default_na=False,  # a defect may be called "NA"
            na_values={name: [""] for name in COLUMNS if name not in TEXTS},
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such manifest; validate the product first") from None
