"""The labels and masks of a product as one file of COCO, for other programs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tasks.images.decode import decode_image
from tasks.images.layout import image_files, is_mask, layout_problem, pair_masks
from tasks.images.polygons import filled, outlines
from tasks.images.read_image import read_bytes, read_mask
from tasks.images.run_lengths import counts_of, packed
from tasks.spec.corrections import apply_corrections, read_corrections
from tasks.workspace.errors import DataError
from tasks.workspace.files import write_bytes
from tasks.workspace.paths import Workspace

GOOD = "good"
TOUCHING = np.ones((3, 3), bool)  # corners too
Mask = NDArray[np.bool_]  # (H, W)
Row = dict[str, Any]


def write_annotations(
    workspace: Workspace, product: str, file: Path, polygons: bool = False
) -> list[str]:
    """Write images, categories, and one annotation for each region that a mask marks; what to tell.

    polygons: outlines in place of runs, where they say the same. Labels are as corrected. An image
    has two keys more than COCO asks for: its `label` and its `split`, which the reader of
    `--annotations` knows; without them a defect without a mask would look good.
    """
    import json

    images = workspace.images(product)
    rows = rows_of(images, workspace.corrections(product))
    if not rows:
        raise DataError(f"{product} has no images yet; `inspectline ingest` brings them in")
    names = sorted({row["label"] for row in rows} - {GOOD})
    number = {name: at for at, name in enumerate(names, 1)}
    content: dict[str, list[Row]] = {"images": [], "annotations": []}
    content["categories"] = [
        {"id": number[name], "name": name, "supercategory": "defect"} for name in names
    ]
    bare = 0
    for at, row in enumerate(rows, 1):
        height, width = decode_image(read_bytes(images / row["path"]), row["path"]).pixels.shape[:2]
        known = {"id": at, "file_name": row["path"], "width": width, "height": height}
        content["images"].append(known | {"label": row["label"], "split": row["split"]})
        bare += row["label"] != GOOD and not row["mask"]
        if row["label"] == GOOD or not row["mask"]:
            continue
        mask = read_mask(images / row["mask"])
        if mask.shape != (height, width):
            raise DataError(f"{row['mask']}: not the size of its image; mend or delete the mask")
        for region in regions(mask, polygons):
            of = {"image_id": at, "category_id": number[row["label"]], "iscrowd": 0}
            content["annotations"].append({"id": len(content["annotations"]) + 1, **of, **region})
    write_bytes(file, json.dumps(content).encode())
    told = [
        f"wrote {file}: {len(rows)} images, {len(content['annotations'])} marked regions, "
        f"{len(names)} types of defects; file names are below {images}"
    ]
    if bare:
        told.append(f"{bare} defective images have no mask: only their `label` says it")
    return told


def rows_of(images: Path, corrections: Path) -> list[Row]:
    """Path, split, label and mask of each image, as corrected; one out of its place is left out."""
    paths = list(image_files(images)) if images.is_dir() else []
    masks, _ = pair_masks(paths)
    rows = [
        {
            "path": str(path),
            "split": path.parts[0],
            "label": path.parts[1],
            "mask": str(masks.get(path, "")),
        }
        for path in paths
        if not is_mask(path) and not layout_problem(path)
    ]
    return apply_corrections(rows, read_corrections(corrections))


def regions(mask: Mask, polygons: bool) -> Iterator[Row]:
    """Segmentation, area and box of each connected region of a mask (H, W)."""
    numbered, _ = ndimage.label(mask, TOUCHING)
    for at, (rows, columns) in enumerate(ndimage.find_objects(numbered), 1):
        region = numbered[rows, columns] == at
        left, top = int(columns.start), int(rows.start)
        packed_runs = packed(runs(region, (left, top), mask.shape))
        yield {
            "segmentation": (polygons and outlined(region, (left, top)))
            or {"size": list(mask.shape), "counts": packed_runs},
            "area": int(region.sum()),
            "bbox": [left, top, region.shape[1], region.shape[0]],
        }


def outlined(region: Mask, corner: tuple[int, int]) -> list[list[float]]:
    """The outlines of a region as COCO's polygons; none where it has holes, which COCO's polygons
    cannot say."""
    lines = outlines(region)
    union = np.zeros_like(region)
    for line in lines:
        union |= filled(line, region.shape)
    same = bool((union == region).all())
    return [(line + corner).round(1).ravel().tolist() for line in lines] if same else []


def runs(region: Mask, corner: tuple[int, int], shape: tuple[int, ...]) -> list[int]:
    """Lengths of the runs of a region (h, w) whose corner lies at (left, top) of a mask (H, W):
    only the part that it takes is looked at."""
    left, top = corner
    columns = np.zeros((shape[0], region.shape[1]), bool)
    columns[top : top + region.shape[0]] = region
    counts = counts_of(columns)
    counts[0] += left * shape[0]
    after = (shape[1] - left - region.shape[1]) * shape[0]
    if len(counts) % 2:  # the last run is of zeros
        counts[-1] += after
    elif after:
        counts.append(after)
    return counts
