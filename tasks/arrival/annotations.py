"""Files beside images that mark something in them: boxes of YOLO, Pascal VOC, COCO, Label Studio.

Unless a person names the file (annotated/), they are not taken. But a picture with a box is hardly
a picture of a good part.
"""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.arrival.words import is_mask_folder, plain
from tasks.images.layout import files_below, hidden

LARGEST = 32 << 20  # bytes of a file that is looked into
BOX = 5  # numbers of a box of YOLO: a class, and where it is


def annotation_like(path: PurePosixPath) -> bool:
    """Whether a path may be a file of annotations."""
    suffix = path.suffix.lower()
    of_labels = suffix == ".txt" and any(map(is_mask_folder, path.parts[:-1]))
    return (of_labels or suffix in (".xml", ".json", ".csv")) and not any(map(hidden, path.parts))


def annotated_stems(folder: Path) -> set[str]:
    """Stems of the images in which a file of annotations marks something."""
    found: set[str] = set()
    for path in filter(annotation_like, files_below(folder)):
        try:
            if (folder / path).stat().st_size <= LARGEST:
                content = (folder / path).read_bytes()
                found |= set(marked_in(path, content))
        except (OSError, ValueError, RecursionError):
            continue  # some other file
    return {plain(stem) for stem in found}


def marked_in(path: PurePosixPath, content: bytes) -> Iterator[str]:
    """Stems of the images in which this file marks something."""
    match path.suffix.lower():
        case ".txt":
            if len([float(word) for word in content.split(b"\n")[0].split()]) >= BOX:
                yield path.stem
        case ".xml":
            if b"<object>" in content:
                yield path.stem
        case ".json":
            yield from marked_in_json(json.loads(content))


def marked_in_json(content: Any) -> Iterator[str]:
    """The same of what a JSON file of COCO or Label Studio holds."""
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        with_boxes = {one.get("image_id") for one in dicts(content["annotations"])}
        for image in dicts(content.get("images")):
            if image.get("id") in with_boxes:
                yield PurePosixPath(str(image.get("file_name"))).stem
    for task in dicts(content):
        if any(one.get("result") for one in dicts(task.get("annotations"))):
            for value in (task.get("data") or {}).values():
                yield PurePosixPath(str(value)).stem


def dicts(values: Any) -> list[dict[str, Any]]:
    return [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []
