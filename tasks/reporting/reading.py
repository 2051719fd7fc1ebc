"""Read what evaluations left. What is missing or damaged becomes a note, never an error: a report
comes last, and hours of training must not end in a stack trace."""

import csv
import io
import json
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from tasks.documents.metrics import METRICS, Metrics
from tasks.reporting.view import Points, Record, Row
from tasks.workspace.errors import DataError

Source = Callable[[str], bytes]  # the content of a named file; an OSError where there is none
DECISIONS = ("good", "review", "defect", "")


def number(value: object) -> float | None:
    """The finite number in a value, or None."""
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def table(source: Source, name: str, notes: list[str]) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    try:
        text = source(name).decode("utf-8")
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        notes.append(f"{name} cannot be read ({getattr(error, 'strerror', None) or error})")
        return []


def record(source: Source, name: str, notes: list[str]) -> Record:
    """The object in a JSON file."""
    try:
        found = json.loads(source(name))
    except (OSError, ValueError) as error:
        notes.append(f"{name} cannot be read ({getattr(error, 'strerror', None) or error})")
        return {}
    return found if isinstance(found, dict) else {}


def metrics(source: Source, notes: list[str]) -> Metrics:
    """The figures of an evaluation; without any where they cannot be read."""
    try:
        return Metrics.parse(source(METRICS), METRICS)
    except (OSError, DataError) as error:
        notes.append(f"{METRICS} cannot be read ({getattr(error, 'strerror', None) or error})")
        return Metrics()


def scores(source: Source, notes: list[str]) -> list[Row]:
    """Test images with their scores; an unusable line is left out and said."""
    rows = []
    for line, row in enumerate(table(source, "scores.csv", notes), start=2):
        score = number(row.get("score"))
        path, label, decision = (row.get(name) or "" for name in ("path", "label", "decision"))
        if score is None or not label or decision not in DECISIONS:
            notes.append(f"scores.csv, line {line}: label, score or decision unusable; left out")
            continue
        rows.append(Row(path, label, score, decision))
    return rows


def curve(source: Source, name: str, upwards: str, right: float, notes: list[str]) -> Points:
    """Points of a curve up to `right`, thinned to what a screen can show."""
    points: dict[tuple[float, float], None] = {}
    for row in table(source, name, notes):
        x, y = number(row.get("fpr")), number(row.get(upwards))
        if x is not None and y is not None and x <= right:
            points[round(400 * x / right) * right / 400, round(400 * y) / 400] = None
    return list(points)


def nested(value: Any, *names: str) -> Record:
    """The object below these keys; empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
