"""The most wrong decisions of an evaluation as pictures for other displays: image | heat map."""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from tasks.decisions.threshold import wrongness
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.images.pictures import HEAT_SHARE
from tasks.reporting.reading import scores
from tasks.reporting.small_pictures import Album
from tasks.reporting.store_history import folder
from tasks.reporting.view import Row
from tasks.store.releases import EXHIBITS

SHOWN = 4
OUTCOMES = {("good", "defect"): "false alarm", ("defect", "good"): "missed"}


@dataclass(frozen=True)
class Strip:
    path: str
    outcome: str  # missed, or false alarm
    score: float
    picture: bytes  # JPEG


def worst(evaluation: Path, count: int = SHOWN) -> list[Strip]:
    """Wrong decisions of which there are pictures, the worst first."""
    album = Album(evaluation / EXHIBITS)
    limit = Thresholds.read(evaluation / THRESHOLD).threshold
    rows = list(enumerate(scores(partial(folder, evaluation), [])))
    rows.sort(key=lambda one: -wrongness(one[1].score, one[1].label, limit))
    wrong = ((index, row, outcome(row)) for index, row in rows if outcome(row))
    found = (
        Strip(row.path, said, row.score, picture)
        for index, row, said in wrong
        if (picture := joined(album, index))
    )
    return [strip for strip, _ in zip(found, range(count), strict=False)]


def outcome(row: Row) -> str:
    """What went wrong; empty: nothing."""
    return OUTCOMES.get(("good" if row.label == "good" else "defect", row.decision), "")


def joined(album: Album, index: int) -> bytes | None:
    """The image beside its heat map over grey, as on the pages."""
    image, heat = (album.get(kind, index) for kind in ("image", "heat"))
    if image is None or heat is None:
        return None
    plain = Image.open(io.BytesIO(image)).convert("RGB")
    colours = Image.open(io.BytesIO(heat)).convert("RGB").resize(plain.size)
    over = Image.blend(plain.convert("L").convert("RGB"), colours, HEAT_SHARE)
    both = Image.new("RGB", (2 * plain.width + 4, plain.height), "white")
    both.paste(plain)
    both.paste(over, (plain.width + 4, 0))
    memory = io.BytesIO()
    both.save(memory, "JPEG", quality=80)
    return memory.getvalue()
