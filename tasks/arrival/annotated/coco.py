"""COCO: images, categories, and annotations with polygons, runs or boxes."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tasks.arrival.entry import Entry, Mark, Mask, Shape, box, polygon, shape_said
from tasks.images.run_lengths import mask_of, unpacked
from tasks.workspace.errors import DataError

TABLES = ("images", "annotations", "categories")


def coco_entries(content: dict[str, Any], file: str) -> list[Entry]:
    """An entry for each image. One without an annotation is what its own key `label` says, which
    `inspectline annotations` writes, or its folder; else it is good."""
    for name in TABLES:
        rows = content.get(name, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise DataError(f"{file}: {name} is no list of objects; export it as COCO again")
    names = {key(row): str(row.get("name", "")) for row in content.get("categories", [])}
    marked: dict[str, list[dict[str, Any]]] = {}
    for row in content.get("annotations", []):
        marked.setdefault(key(row, "image_id"), []).append(row)
    if unknown := marked.keys() - {key(image) for image in content["images"]}:
        raise DataError(f"{file}: annotations of image {min(unknown)}, which `images` lacks")
    return [entry_of(image, marked.get(key(image), []), names, file) for image in content["images"]]


def key(row: dict[str, Any], name: str = "id") -> str:
    return str(row.get(name))


def entry_of(
    image: dict[str, Any], rows: list[dict[str, Any]], names: dict[str, str], file: str
) -> Entry:
    """What the annotations of one image say together."""
    where = f"{file}, image {key(image)}"
    entry = Entry(where, str(image.get("file_name", "")))
    shape = shape_said(image.get("height"), image.get("width"))
    for row in rows:
        name = names.get(key(row, "category_id"))
        if name is None:
            entry.problem = f"{where}: no category {row.get('category_id')}; add it to `categories`"
        entry.names.append(name or "")
        entry.marks += marks_of(row, shape, f"{file}, annotation {key(row)}")
    if isinstance(image.get("label"), str):
        entry.names = [image["label"]]
    entry.split = image["split"] if isinstance(image.get("split"), str) else None
    return entry


def marks_of(row: dict[str, Any], shape: Shape | None, where: str) -> Iterator[Mark]:
    """The areas of one annotation: its box only where it has no outline."""
    drawn = row.get("segmentation")
    if isinstance(drawn, dict):
        size = drawn.get("size")
        two = size if isinstance(size, list) and len(size) == 2 else (None, None)
        yield Mark(where, runs(drawn.get("counts")), shape_said(*two))
    elif drawn:
        for points in drawn if isinstance(drawn, list) else [drawn]:
            yield Mark(where, polygon(points), shape)
    elif isinstance(row.get("bbox"), list):
        yield Mark(where, boxed(row["bbox"]), shape)


def runs(counts: Any) -> Callable[[Shape], Mask]:
    """Draws runs, packed into text or not."""

    def draw(shape: Shape) -> Mask:
        if not isinstance(counts, str | list):
            raise ValueError("its runs are neither a text nor a list")
        return mask_of(unpacked(counts) if isinstance(counts, str) else counts, shape)

    return draw


def boxed(values: list[Any]) -> Callable[[Shape], Mask]:
    """Draws a box of left, top, width and height."""

    def draw(shape: Shape) -> Mask:
        try:
            left, top, width, height = (float(value) for value in values)
        except (ValueError, TypeError):
            raise ValueError("its bbox is not four numbers") from None
        return polygon(np.array(box(left, top, width, height)))(shape)

    return draw
