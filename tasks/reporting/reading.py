"""Read files of evaluations. A missing or damaged file gives a note, never an error: the report
comes after hours of training and must not fail."""

import csv
import io
import json
import math
from collections.abc import Callable
from numbers import Real
from typing import Any

from tasks.documents.metrics import METRICS, Metrics
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.reporting.view import JsonObject, Points, Row
from tasks.workspace.errors import DataError

Source = Callable[[str], bytes]  # the content of a named file; OSError if it does not exist
DECISIONS = ("good", "review", "defect", "")


def finite_number(value: object) -> float | None:
    """The finite number in a value, or None."""
    if isinstance(value, bool) or not isinstance(value, (Real, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def csv_rows(source: Source, name: str, notes: list[str]) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    try:
        text = source(name).decode("utf-8")
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        notes.append(f"{name} cannot be read ({getattr(error, 'strerror', None) or error})")
        return []


def json_object(source: Source, name: str, notes: list[str]) -> JsonObject:
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


def read_thresholds(source: Source, notes: list[str]) -> Thresholds | None:
    """The limits of an evaluation; None where they cannot be read."""
    try:
        return Thresholds.parse(source(THRESHOLD), THRESHOLD)
    except (OSError, DataError) as error:
        notes.append(f"{THRESHOLD} cannot be read ({getattr(error, 'strerror', None) or error})")
        return None


def score_rows(source: Source, notes: list[str]) -> list[Row]:
    """Test images with their scores; an unusable line is left out and noted."""
    rows = []
    for line, row in enumerate(csv_rows(source, "scores.csv", notes), start=2):
        score = finite_number(row.get("score"))
        path, label, decision = (row.get(name) or "" for name in ("path", "label", "decision"))
        if score is None or not label or decision not in DECISIONS:
            notes.append(f"scores.csv, line {line}: label, score or decision unusable; left out")
            continue
        rows.append(Row(path, label, score, decision))
    return rows


def curve_points(source: Source, name: str, upwards: str, right: float, notes: list[str]) -> Points:
    """Points of a curve up to `right`, reduced to screen resolution."""
    points: dict[tuple[float, float], None] = {}
    for row in csv_rows(source, name, notes):
        x, y = finite_number(row.get("fpr")), finite_number(row.get(upwards))
        if x is not None and y is not None and x <= right:
            points[round(400 * x / right) * right / 400, round(400 * y) / 400] = None
    return list(points)


def nested_object(value: Any, *names: str) -> JsonObject:
    """The object at these keys; empty if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}
