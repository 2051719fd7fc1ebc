"""Exports of Label Studio as JSON: brushes, polygons, rectangles, ellipses, and choices.

Of several annotations of one image the one marked as ground truth counts, or else the last. One
that marks nothing says that the image is good; an image without any is not labelled yet.
"""

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from tasks.arrival.entry import Entry, Mark, Mask, Shape, box, polygon, shape_said
from tasks.images.layout import image_like
from tasks.images.polygons import ellipse, turned
from tasks.images.run_lengths import brushed
from tasks.workspace.errors import DataError

UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of a file
Row = dict[str, Any]


def label_studio_entries(tasks: list[Any], file: str) -> list[Entry]:
    """An entry for each task."""
    if not all(isinstance(task, dict) and isinstance(task.get("data"), dict) for task in tasks):
        raise DataError(f"{file}: not every task has `data`; export as JSON, not as JSON-MIN")
    return [entry_of(task, f"{file}, task {task.get('id', at)}") for at, task in enumerate(tasks)]


def entry_of(task: Row, where: str) -> Entry:
    """What one task says of its image."""
    entry = Entry(where, image_name(task["data"]))
    rows = [row for row in dicts(task.get("annotations")) if not row.get("was_cancelled")]
    if not rows:
        entry.problem = f"{where}: not labelled yet; leave it out of the export, or label it"
        return entry
    said = next((row for row in rows if row.get("ground_truth")), rows[-1])
    results = [row for row in dicts(said.get("result")) if isinstance(row.get("value"), dict)]
    names: dict[Any, list[str]] = {}
    for row in results:
        names.setdefault(row.get("id"), []).extend(labels_in(row))
    areas = [row for row in results if row.get("type") != "choices" and kind(row) != "labels"]
    chosen = [name for row in results if row.get("type") == "choices" for name in labels_in(row)]
    marked = [name for row in areas for name in names[row.get("id")] or [""]]
    entry.names = marked or chosen or ["good"]
    entry.marks = [mark_of(row, f"{where}, result {row.get('id')}") for row in areas]
    return entry


def image_name(data: Row) -> str:
    """The name of the image in the data of a task, as a path or as the end of an address."""
    texts = [value for value in data.values() if isinstance(value, str)]
    for text in texts:
        parts = urlsplit(text)
        local = parse_qs(parts.query).get("d", [""])[0]  # /data/local-files/?d=folder/name.png
        name = unquote(local or parts.path)
        if image_like(PurePosixPath(PurePosixPath(name).name)):
            return f"/{name}" if parts.scheme or parts.query else name
    return texts[0] if texts else ""


def labels_in(row: Row) -> list[str]:
    """The labels or choices that a result holds."""
    found = row["value"].get(row.get("type"))
    return [str(name) for name in found] if isinstance(found, list) else []


def kind(row: Row) -> str:
    """brush, polygon, rectangle, ellipse, or another word: what the result draws."""
    said = str(row.get("type"))
    return said.removesuffix("labels") or said


def mark_of(row: Row, where: str) -> Mark:
    shape = shape_said(row.get("original_height"), row.get("original_width"))
    return Mark(where, drawing(row["value"], kind(row)), shape)


def drawing(value: Row, of_kind: str) -> Callable[[Shape], Mask]:
    """Draws one result; its places are in percent of the picture."""

    def draw(shape: Shape) -> Mask:
        scale = np.array([shape[1], shape[0]]) / 100
        match of_kind:
            case "brush" if isinstance(value.get("rle"), list):
                return brushed(value["rle"], shape)
            case "polygon":
                return polygon(scaled(value.get("points"), scale))(shape)
            case "rectangle":
                x, y, width, height, angle = numbers(value, "x", "y", "width", "height", "rotation")
                corners = np.array(box(x, y, width, height)) * scale
                return polygon(turned(corners, angle, tuple(corners[0])))(shape)
            case "ellipse":
                x, y, wide, high, angle = numbers(value, "x", "y", "radiusX", "radiusY", "rotation")
                centre, radii = np.array([x, y]) * scale, np.array([wide, high]) * scale
                return polygon(turned(ellipse(tuple(centre), tuple(radii)), angle, tuple(centre)))(
                    shape
                )
        raise ValueError(f"a result of the kind {of_kind!r} marks no area")

    return draw


def scaled(points: Any, scale: np.ndarray) -> Any:
    """Points (n, 2) of percents as pixels; as they are where they are no numbers."""
    try:
        return np.array(points, np.float64).reshape(-1, 2) * scale
    except (ValueError, TypeError):
        return points


def numbers(value: Row, *names: str) -> list[float]:
    """The numbers of these names; `rotation` may be missing."""
    try:
        return [float(value.get(name, 0) if name == "rotation" else value[name]) for name in names]
    except (KeyError, ValueError, TypeError):
        raise ValueError(f"it needs the numbers {', '.join(names)}") from None


def dicts(values: Any) -> list[Row]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []
