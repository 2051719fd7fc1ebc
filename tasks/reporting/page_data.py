"""What the page's script needs to know of a product, and the pictures inside the file.

One line is a picture's name and its bytes in base64, or an outline. The script looks up the line
when the picture comes into view.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.decisions.threshold import wrongness
from tasks.reporting.small_pictures import EDGE, ORIGINALS, PictureArchive, small_original
from tasks.reporting.view import JsonObject, ModelView, ProductView

BYTES = 24_000_000  # of all pictures together, as text; the file stays below 30 MB


@dataclass(frozen=True)
class PageData:
    """Of one product."""

    data: JsonObject  # for the script
    pictures: str  # lines "model/kind/index content"
    left_out: int  # images without a picture, because the file would be too large


def page_data(product: ProductView, sharing: int, live: bool) -> PageData:
    """sharing: number of products that share the size limit; live: pictures are loaded from the
    server."""
    paths, data = images_and_models(product)
    archives = {model.key: PictureArchive(model.pictures) for model in product.models}
    for one in data["models"]:
        one["rebuilt"] = archives[one["key"]].offers("rebuilt")
    lines: list[str] = []
    space = BYTES // max(sharing, 1)
    left_out = 0
    for image in worst_first(product, paths):
        places = {m["key"]: m["rows"][image] for m in data["models"] if m["rows"][image] >= 0}
        picture = next(
            (key for key, row in places.items() if archives[key].get("image", row)), None
        )
        mine = list(image_lines(archives, places, picture, live))
        size = sum(map(len, mine))
        if size > space:
            left_out += 1
            continue
        space -= size
        lines += mine
        if picture is not None:
            drawn = archives[picture].outlines.get(places[picture], {})
            about = {"from": picture, "size": drawn.get("size"), "masked": bool(drawn.get("mask"))}
            data["images"][image] |= about
    if not live:
        lines += edge_lines(product, archives)
    data["originals"] = data_page_images(product)
    if not live:
        lines += original_lines(product, data["originals"], space)
    return PageData(data, "\n".join(lines), left_out)


def images_and_models(product: ProductView) -> tuple[dict[str, int], dict[str, Any]]:
    """Path -> its number on the page, and the data for decisions in the script.

    Raw scores with all digits: the counts are the same as those of the line.
    """
    paths: dict[str, int] = {}
    images: list[JsonObject] = []
    for model in product.models:
        for row in model.rows:
            if row.path not in paths:
                paths[row.path] = len(images)
                severity = model.severities.get(row.label, {}).get("severity", "")
                images.append({"path": row.path, "label": row.label, "severity": severity})
    models = [model_data(model, paths) for model in product.models]
    return paths, {"product": product.name, "images": images, "models": models}


def model_data(model: ModelView, paths: dict[str, int]) -> JsonObject:
    """scores and rows are in the order of the images; null and -1 for an image it did not test."""
    scores: list[float | None] = [None] * len(paths)
    rows = [-1] * len(paths)
    for place, row in enumerate(model.rows):
        scores[paths[row.path]], rows[paths[row.path]] = row.score, place
    threshold, accept = model.metrics.threshold, model.metrics.accept
    return {
        "key": model.key,
        "title": model.title,
        "verdict": model.status,
        "threshold": threshold,
        # one threshold for both: a trial value is used for both too
        "accept": None if accept == threshold else accept,
        "scores": scores,
        "rows": rows,
    }


def worst_first(product: ProductView, paths: dict[str, int]) -> list[int]:
    """Images by their worst rank in any model; if space is short, the first ones get pictures."""
    ranks = dict.fromkeys(paths, len(paths))
    for model in product.models:
        limit = model.metrics.threshold
        wrong = {row.path: wrongness(row.score, row.label, limit) for row in model.rows}
        for rank, path in enumerate(sorted(wrong, key=lambda path: -wrong[path])):
            ranks[path] = min(ranks[path], rank)
    return [paths[path] for path in sorted(ranks, key=lambda path: ranks[path])]


def image_lines(
    archives: dict[str, PictureArchive], places: dict[str, int], picture: str | None, live: bool
) -> Iterator[str]:
    """The lines of one image: its picture once, and the pictures of each model."""
    for key, row in places.items():
        for kind in ("found", "mask") if key == picture else ("found",):
            if drawn := archives[key].outlines.get(row, {}).get(kind):
                yield f"{key}/{kind}/{row} {drawn}"
        for kind, data in () if live else archives[key].kinds(row):
            if kind != "image" or key == picture:
                yield f"{key}/{kind}/{row} {base64.b64encode(data).decode()}"


def edge_lines(product: ProductView, archives: dict[str, PictureArchive]) -> Iterator[str]:
    """The lines of the good images that set the threshold of each model."""
    for model in product.models:
        for place in range(len(model.edge)):
            for kind in EDGE:
                if data := archives[model.key].get(kind, place):
                    yield f"{model.key}/{kind}/{place} {base64.b64encode(data).decode()}"


def data_page_images(product: ProductView) -> dict[str, int]:
    """Repeated, doubtful and masked images on the data page, with their index in `paths`."""
    if product.data is None:
        return {}
    named = {path for pair in product.data.duplicates for path in (pair["path"], pair["other"])}
    named |= {row["path"] for row in product.data.doubtful + product.data.masks}
    return {path: place for place, path in enumerate(product.data.paths) if path in named}


def original_lines(product: ProductView, named: dict[str, int], space: int) -> Iterator[str]:
    """The lines of their pictures, up to the size limit."""
    for path, place in named.items():
        data = small_original(product.folder / "images" / path)
        if data is not None and len(data) * 4 // 3 < space:
            line = f"{ORIGINALS}/image/{place} {base64.b64encode(data).decode()}"
            space -= len(line)
            yield line
