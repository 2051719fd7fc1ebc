"""Inspect images with a published model."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tasks.images.read_image import IMAGE_SUFFIXES
from tasks.monitoring.log import PredictionLog, record_of
from tasks.store.opening import release_of
from tasks.workspace.errors import DataError


def image_paths(paths: Iterable[Path]) -> list[Path]:
    """The files, and all images of each folder."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
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
) -> Iterator[dict[str, Any]]:
    """One record per image: image, score, threshold, decision, and the heat map's path. If it
    cannot be inspected: image and error.

    The raw score decides: above the threshold an image is a defect.
    """
    from tasks.images.decode import decode_image
    from tasks.images.pictures import save_jpeg
    from tasks.images.read_image import read_bytes
    from tasks.models.release_model import ReleaseModel

    model = ReleaseModel.load(folder, device)
    manifest = release_of(folder)
    release = manifest.release if manifest else None
    names = _distinct(paths)
    for path in paths:
        try:
            picture = decode_image(read_bytes(path), path)
            found = model.inspector.inspect(picture.unit)
        except DataError as error:
            yield {"image": str(path), "error": str(error)}
            continue
        result = model.result(found)
        if log:
            log.add(record_of(picture, result, release, str(path)))
        record = {"image": str(path), **result}
        if maps:
            maps.mkdir(parents=True, exist_ok=True)
            drawn = model.picture(picture.unit, found)
            record["map"] = str(save_jpeg(drawn, maps / f"{names[path]}.jpg"))
        yield record


def _distinct(paths: list[Path]) -> dict[Path, str]:
    """A file name for each path's map: the stem, or folder and name if two stems are equal."""
    stems = [path.stem for path in paths]
    return {p: p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}-{p.name}" for p in paths}
