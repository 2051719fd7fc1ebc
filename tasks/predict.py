"""Inspect images with a published model."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.images.layout import image_files
from tasks.images.read_image import IMAGE_SUFFIXES
from tasks.monitoring.log import PredictionLog, record_of
from tasks.monitoring.part_id import identity, part_in
from tasks.store.opening import release_of
from tasks.workspace.errors import DataError

LONGEST_NAME = 200  # bytes of a map's name, without its suffix


def image_paths(paths: Iterable[Path]) -> list[Path]:
    """The files, and all images of each folder. Hidden files are left out of folders."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (path / one for one in image_files(path))
            files = [one for one in inside if one.suffix.lower() in IMAGE_SUFFIXES]
            if not files:
                raise DataError(f"{path} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
            found += files
        elif path.exists():
            found.append(path)
        else:
            raise DataError(f"no image at {path}")
    return found


def predict_images(
    folder: Path,
    paths: list[Path],
    maps: Path | None,
    device: str,
    log: PredictionLog | None = None,
    pattern: re.Pattern[str] | None = None,
) -> Iterator[dict[str, Any]]:
    """One record per image: image, part, sha256, score, threshold, decision, and the heat map's
    path. If it cannot be inspected: image and error. warning: what could not be written.

    The raw score decides: above the threshold an image is a defect.
    pattern: finds the part's id in the name of a file; without it each image is a part of its own.
    """
    from tasks.images.decode import decode_image
    from tasks.images.pictures import save_jpeg
    from tasks.images.read_image import read_bytes
    from tasks.models.release_model import ReleaseModel

    model = ReleaseModel.load(folder, device)
    manifest = release_of(folder)
    release = manifest.release if manifest else None
    names = map_names(paths)
    for path in paths:
        try:
            data = read_bytes(path)
            named = identity(data, part_in(path.name, pattern))
            picture = decode_image(data, path)
            del data
            found = model.inspector.inspect(picture.unit)
        except DataError as error:
            yield {"image": str(path), "error": str(error)}
            continue
        result = named | model.result(found)
        record = {"image": str(path), **result}
        with warned(record, "the prediction is not logged"):
            if log:
                log.add(record_of(picture, result, release, str(path)))
        with warned(record, "the heat map is not written"):
            if maps:
                maps.mkdir(parents=True, exist_ok=True)
                drawn = model.sheet(picture.unit, found)
                record["map"] = str(save_jpeg(drawn, maps / f"{names[path]}.jpg"))
        yield record


@contextmanager
def warned(record: dict[str, Any], what: str) -> Iterator[None]:
    """A verdict is never lost because the disk is full: the record tells what is missing."""
    try:
        yield
    except OSError as error:
        said = [record["warning"]] if "warning" in record else []
        record["warning"] = "; ".join([*said, f"{what}: {error.strerror or error}"])


def map_names(paths: list[Path]) -> dict[Path, str]:
    """A file name for the map of each path: its stem, or as many of its folders as tell it from
    the others."""
    names: dict[Path, str] = {}
    for depth in range(max((len(path.parts) for path in paths), default=0)):
        tried = {path: name_of(path, depth) for path in dict.fromkeys(paths) if path not in names}
        counts = Counter(name.casefold() for name in [*tried.values(), *names.values()])
        names |= {path: name for path, name in tried.items() if counts[name.casefold()] == 1}
    digests = {path: hashlib.sha256(os.fsencode(path)).hexdigest()[:16] for path in paths}
    return digests | names


def name_of(path: Path, depth: int) -> str:
    """depth: folders in the name; with one or more of them, the suffix too."""
    whole = "-".join(path.parts[-1 - depth :]) if depth else path.stem
    name = "".join(c if c.isprintable() and c not in "/\\:" else "_" for c in whole)
    return (
        name
        if len(name.encode()) <= LONGEST_NAME
        else name.encode()[-LONGEST_NAME:].decode(errors="ignore")
    )
