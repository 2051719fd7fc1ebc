"""The most wrong decisions of an evaluation as pictures: image | heat map."""

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from ad_models.colours import HEAT_SHARE
from tasks.decisions.threshold import wrongness
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.reporting.reading import score_rows
from tasks.reporting.small_pictures import PictureArchive
from tasks.reporting.store_history import evaluation_file
from tasks.reporting.view import Row
from tasks.store.releases import PICTURES_FILE

SHOWN = 4
OUTCOMES = {("good", "defect"): "false alarm", ("defect", "good"): "missed"}


@dataclass(frozen=True)
class WrongDecision:
    path: str
    outcome: str  # missed, or false alarm
    score: float
    picture: bytes  # JPEG


def worst_decisions(evaluation: Path, count: int = SHOWN) -> list[WrongDecision]:
    """Wrong decisions of which there are pictures, the worst first."""
    pictures = PictureArchive(evaluation / PICTURES_FILE)
    limit = Thresholds.read(evaluation / THRESHOLD).threshold
    rows = list(enumerate(score_rows(partial(evaluation_file, evaluation), [])))
    rows.sort(key=lambda one: -wrongness(one[1].score, one[1].label, limit))
    wrong = ((index, row, error_kind(row)) for index, row in rows if error_kind(row))
    found = (
        WrongDecision(row.path, said, row.score, picture)
        for index, row, said in wrong
        if (picture := image_and_heat_map(pictures, index))
    )
    return [decision for decision, _ in zip(found, range(count), strict=False)]


def error_kind(row: Row) -> str:
    """missed or false alarm; empty if the decision is right."""
    return OUTCOMES.get(("good" if row.label == "good" else "defect", row.decision), "")


def image_and_heat_map(pictures: PictureArchive, index: int) -> bytes | None:
    """The image beside its heat map over the grey image, as on the pages."""
    image, heat = (pictures.get(kind, index) for kind in ("image", "heat"))
    if image is None or heat is None:
        return None
    plain = Image.open(io.BytesIO(image)).convert("RGB")
    colours = Image.open(io.BytesIO(heat)).convert("RGBA").resize(plain.size)
    over = plain.convert("L").convert("RGB")
    over.paste(colours, mask=colours.getchannel("A").point(lambda seen: HEAT_SHARE * seen))
    both = Image.new("RGB", (2 * plain.width + 4, plain.height), "white")
    both.paste(plain)
    both.paste(over, (plain.width + 4, 0))
    memory = io.BytesIO()
    both.save(memory, "JPEG", quality=80)
    return memory.getvalue()
