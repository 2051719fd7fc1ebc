"""The log of predictions: JSON lines, a file a day, only ever appended to.

    DIR/<product>/2026-05-04.jsonl     the day in UTC

A record is one write of one line, under a lock that ends with its process, so that several may log
at once. A line that a kill or a power cut left incomplete is skipped when read, and the next record
begins on a new line.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tasks.documents.prediction import Prediction
from tasks.images.decode import Picture
from tasks.images.measures import image_facts, luminance
from tasks.workspace import clock
from tasks.workspace.errors import DataError

IMAGE_KEYS = ("width", "height", "brightness", "sharpness")
VERDICT_KEYS = ("score", "threshold", "accept", "decision", "displayed")
IDENTITY_KEYS = ("part", "sha256")


def record_of(
    picture: Picture, verdict: dict[str, Any], release: str | None, image: str | None
) -> Prediction:
    """What is logged of one inspection: when, by which release, the decision, how it looked.

    verdict: of a release's model, with the identity of the part; image: its name, where it has one.
    """
    return record_of_look(look(picture), verdict, release, image)


def look(picture: Picture) -> dict[str, Any]:
    """What is logged of how an image looked: size, brightness, sharpness."""
    facts = image_facts(picture, luminance(picture))
    return {key: facts[key] for key in IMAGE_KEYS}


def record_of_look(
    looked: dict[str, Any], verdict: dict[str, Any], release: str | None, image: str | None
) -> Prediction:
    """As `record_of`, where the picture itself is not kept."""
    time = clock.now("milliseconds")
    named: dict[str, Any] = {key: verdict.get(key) for key in IDENTITY_KEYS}
    return Prediction(
        time=time,
        release=release,
        image=image,
        **named,
        **{key: verdict[key] for key in VERDICT_KEYS},
        regions=len(verdict["regions"]),
        **looked,
    )


class PredictionLog:
    """Appends; safe from any thread and beside other processes."""

    def __init__(self, folder: Path, product: str) -> None:
        self.folder = folder / product

    def add(self, record: Prediction) -> None:
        """One line in the file of the record's day."""
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{record.time[:10]}.jsonl"
        line = json.dumps(record.dump(), allow_nan=False) + "\n"
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # or a line being written would look torn
            if _torn(descriptor):
                line = "\n" + line
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def _torn(descriptor: int) -> bool:
    """Whether the last line of the file is incomplete."""
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def read_log(folder: Path, product: str, days: int, now: datetime) -> Iterator[Prediction]:
    """Records of the last `days` times 24 hours before `now`, oldest first."""
    since = (now - timedelta(days=days)).isoformat(timespec="milliseconds")
    for path in sorted((folder / product).glob("*.jsonl")):
        if path.stem < since[:10]:
            continue
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    record = Prediction.parse(line, path.name)
                except DataError:  # torn
                    continue
                if record.time >= since:
                    yield record
