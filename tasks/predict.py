"""Inspect images with a published model."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.display import Display
from tasks.errors import DataError, StoreError
from tasks.gate import store_of
from tasks.imaging.images import IMAGE_SUFFIXES
from tasks.map_regions import regions
from tasks.storage.publish import fetch
from tasks.storage.store import open_store
from tasks.threshold import decide
from tasks.workspace import CARD, find

if TYPE_CHECKING:
    import numpy as np


def locate(workspace: Path | None, product: str, release: str | None = None) -> Path:
    """The folder of the release to use; fetched and verified where it is not a folder already.

    product: a release folder, `s3://bucket/prefix/NAME` of a store, or a product's name.
    """
    if (Path(product) / "manifest.json").is_file() or (Path(product) / CARD).is_file():
        return Path(product)
    if product.startswith("s3://"):
        address, _, name = product.rstrip("/").rpartition("/")
        return fetch(open_store(address), name, release, Path.home() / ".cache" / "inspectline")
    home = find(workspace)
    return fetch(store_of(home), product, release, home.scratch / "releases")


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
    folder: Path, paths: list[Path], maps: Path | None, device: str
) -> Iterator[dict[str, Any]]:
    """One record an image: image, score, threshold, decision, and the heat map's path.

    The decision is taken on the raw score: a defect is what lies above the threshold.
    """
    from tasks.device import choose
    from tasks.imaging.images import read_image
    from tasks.imaging.pictures import heat_map, save_jpeg
    from tasks.inspector import Inspector

    decision = read_decision(folder)
    inspector = Inspector.load(folder, str(choose(device)))
    names = _distinct(paths)
    accept = decision.get("accept", decision["threshold"])  # older releases have one threshold
    display = Display(decision["threshold"], span_of(decision))
    roi = inspector.preprocess.spec.roi
    for path in paths:
        image = read_image(path)
        found = inspector.inspect(image)
        record: dict[str, Any] = {
            "image": str(path),
            "score": found.score,
            "threshold": decision["threshold"],
            "accept": accept,
            "decision": decide(found.score, decision["threshold"], accept),
            "displayed": display.score(found.score),
            "displayed_text": display.text(found.score, 1),
            "regions": regions_of(found.map, decision, roi),
        }
        if maps:
            maps.mkdir(parents=True, exist_ok=True)
            picture = heat_map(inspector.preprocess.region(image), found.map, decision["map_top"])
            record["map"] = str(save_jpeg(picture, maps / f"{names[path]}.jpg"))
        yield record


def span_of(decision: dict[str, Any]) -> float:
    """How far below the threshold the displayed score is 0."""
    return decision.get("display_span") or Display.of(decision["threshold"]).span


def regions_of(
    map: "np.ndarray", decision: dict[str, Any], roi: tuple[int, int, int, int] | None
) -> list[dict[str, Any]]:
    """Regions of the map above the pixel threshold, boxes in pixels of the original image."""
    if decision.get("pixel_threshold") is None:
        return []
    filters = decision.get("region_min_area", 1), decision.get("region_opening", 0)
    found = regions(map, decision["pixel_threshold"], *filters, origin=roi[:2] if roi else (0, 0))
    return [asdict(one) for one in found]


def read_decision(folder: Path) -> dict[str, Any]:
    """threshold.json of a release."""
    path = folder / "threshold.json"
    if not path.is_file():
        raise StoreError(f"{folder} holds no threshold.json; it is no release")
    decision = json.loads(path.read_text())
    if decision["threshold"] is None:
        raise StoreError(f"{path} holds no threshold; give the product more good images and run")
    return decision


def _distinct(paths: list[Path]) -> dict[Path, str]:
    """A file name for each path's map: the stem, with its folder where two would be the same."""
    stems = [path.stem for path in paths]
    return {p: p.stem if stems.count(p.stem) == 1 else f"{p.parent.name}-{p.name}" for p in paths}
