"""What the page's script needs to know of a product, and the pictures that a file carries with it.

A line of the album is a picture's name and its bytes in base64, or an outline; the script looks a
line up when the picture comes into sight.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.decisions.threshold import wrongness
from tasks.reporting.small_pictures import ORIGINALS, Album, original
from tasks.reporting.view import ModelView, ProductView, Record

BYTES = 24_000_000  # of all pictures together, as text; the file stays below 30 MB


@dataclass(frozen=True)
class Packed:
    """Of one product."""

    data: Record  # for the script
    album: str  # lines "model/kind/index content"
    left_out: int  # images without a picture, for want of room


def pack(product: ProductView, sharing: int, live: bool) -> Packed:
    """sharing: products that share the room; live: pictures are asked for and not carried."""
    paths, data = known(product)
    albums = {model.key: Album(model.exhibits) for model in product.models}
    for one in data["models"]:
        one["rebuilt"] = albums[one["key"]].offers("rebuilt")
    lines: list[str] = []
    room = BYTES // max(sharing, 1)
    left_out = 0
    for image in worst_first(product, paths):
        places = {m["key"]: m["rows"][image] for m in data["models"] if m["rows"][image] >= 0}
        picture = next((key for key, row in places.items() if albums[key].get("image", row)), None)
        mine = list(content(albums, places, picture, live))
        size = sum(map(len, mine))
        if size > room:
            left_out += 1
            continue
        room -= size
        lines += mine
        if picture is not None:
            drawn = albums[picture].outlines.get(places[picture], {})
            about = {"from": picture, "size": drawn.get("size"), "masked": bool(drawn.get("mask"))}
            data["images"][image] |= about
    data["originals"] = shown(product)
    if not live:
        lines += originals(product, data["originals"], room)
    return Packed(data, "\n".join(lines), left_out)


def known(product: ProductView) -> tuple[dict[str, int], dict[str, Any]]:
    """Path -> its number on the page, and what the script needs to decide anything anew.

    Raw scores with every digit: the counts are those that the line would take.
    """
    paths: dict[str, int] = {}
    images: list[Record] = []
    for model in product.models:
        for row in model.rows:
            if row.path not in paths:
                paths[row.path] = len(images)
                severity = model.severities.get(row.label, {}).get("severity", "")
                images.append({"path": row.path, "label": row.label, "severity": severity})
    models = [model_data(model, paths) for model in product.models]
    return paths, {"product": product.name, "images": images, "models": models}


def model_data(model: ModelView, paths: dict[str, int]) -> Record:
    """scores and rows run in the order of the images; null and -1 where it has not seen one."""
    scores: list[float | None] = [None] * len(paths)
    rows = [-1] * len(paths)
    for place, row in enumerate(model.rows):
        scores[paths[row.path]], rows[paths[row.path]] = row.score, place
    threshold, accept = model.metrics.threshold, model.metrics.accept
    return {
        "key": model.key,
        "title": model.title,
        "verdict": model.verdict,
        "threshold": threshold,
        # one threshold for both: whichever is tried serves for both as well
        "accept": None if accept == threshold else accept,
        "scores": scores,
        "rows": rows,
    }


def worst_first(product: ProductView, paths: dict[str, int]) -> list[int]:
    """Images by their worst rank in any model: where room is short, the first have pictures."""
    ranks = dict.fromkeys(paths, len(paths))
    for model in product.models:
        limit = model.metrics.threshold
        wrong = {row.path: wrongness(row.score, row.label, limit) for row in model.rows}
        for rank, path in enumerate(sorted(wrong, key=lambda path: -wrong[path])):
            ranks[path] = min(ranks[path], rank)
    return [paths[path] for path in sorted(ranks, key=lambda path: ranks[path])]


def content(
    albums: dict[str, Album], places: dict[str, int], picture: str | None, live: bool
) -> Iterator[str]:
    """The lines of one image: its picture once, and what each model made of it."""
    for key, row in places.items():
        for kind in ("found", "mask") if key == picture else ("found",):
            if drawn := albums[key].outlines.get(row, {}).get(kind):
                yield f"{key}/{kind}/{row} {drawn}"
        for kind, data in () if live else albums[key].kinds(row):
            if kind != "image" or key == picture:
                yield f"{key}/{kind}/{row} {base64.b64encode(data).decode()}"


def shown(product: ProductView) -> dict[str, int]:
    """Images that the data page shows, repeated and doubtful ones, with their place in `paths`."""
    if product.data is None:
        return {}
    named = {path for pair in product.data.twins for path in (pair["path"], pair["other"])}
    named |= {doubt["path"] for doubt in product.data.doubts}
    return {path: place for place, path in enumerate(product.data.paths) if path in named}


def originals(product: ProductView, named: dict[str, int], room: int) -> Iterator[str]:
    """Their pictures, as long as there is room."""
    for path, place in named.items():
        data = original(product.folder / "images" / path)
        if data is not None and len(data) * 4 // 3 < room:
            line = f"{ORIGINALS}/image/{place} {base64.b64encode(data).decode()}"
            room -= len(line)
            yield line
