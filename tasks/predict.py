"""Inspect images with a published model."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tasks.errors import DataError
from tasks.gate import store_of
from tasks.imaging.images import IMAGE_SUFFIXES
from tasks.predictions import PredictionLog, record_of
from tasks.storage.publish import fetch
from tasks.storage.release import MANIFEST
from tasks.storage.store import Store, open_store
from tasks.workspace import CARD, find


def locate(workspace: Path | None, product: str, release: str | None = None) -> Path:
    """The folder of the release to use; fetched and verified where it is not a folder already.

    product: a release folder, `s3://bucket/prefix/NAME` of a store, or a product's name.
    """
    if (Path(product) / MANIFEST).is_file() or (Path(product) / CARD).is_file():
        return Path(product)
    store, name, cache = source_of(workspace, product)
    return fetch(store, name, release, cache)


def source_of(workspace: Path | None, product: str) -> tuple[Store, str, Path]:
    """Store of a product, the product's name in it, and the folder that keeps its releases here.

    product: `s3://bucket/prefix/NAME` of a store, or the name of one of the workspace's.
    """
    if product.startswith("s3://"):
        address, _, name = product.rstrip("/").rpartition("/")
        return open_store(address), name, Path.home() / ".cache" / "inspectline"
    home = find(workspace)
    return store_of(home), product, home.scratch / "releases"


def release_of(folder: Path) -> dict[str, Any]:
    """The manifest of a release's folder: release, product, algorithm; empty for a cell's."""
    path = folder / MANIFEST
    return json.loads(path.read_text()) if path.is_file() else {}


def expand(paths: Iterable[Path]) -> list[Path]:
    """The files themselves; of a folder, all images in it."""
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
    """One record an image: image, score, threshold, decision, and the heat map's path; of one that
    cannot be inspected, image and error.

    The decision is taken on the raw score: a defect is what lies above the threshold.
    """
    from tasks.imaging.decoding import decode
    from tasks.imaging.images import read_bytes
    from tasks.imaging.pictures import save_jpeg
    from tasks.judge import Judge

    judge = Judge.load(folder, device)
    release = release_of(folder).get("release")
    names = _distinct(paths)
    for path in paths:
        try:
            picture = decode(read_bytes(path), path)
            found = judge.inspector.inspect(picture.unit)
        except DataError as error:
            yield {"image": str(path), "error": str(error)}
            continue
        verdict = judge.verdict(found)
        if log:
            log.add(record_of(picture, verdict, release, str(path)))
        record = {"image": str(path), **verdict}
        if maps:
            maps.mkdir(parents=True, exist_ok=True)
            drawn = judge.picture(picture.unit, found)
            record["map"] = str(save_jpeg(drawn, maps / f"{names[path]}.jpg"))
        yield record


def _distinct(paths: list[Path]) -> dict[Path, str]:
    """A file name for each path's map: the stem, with its folder where two would be the same."""
    stems = [path.stem for path in paths]
    return {p: p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}-{p.name}" for p in paths}
