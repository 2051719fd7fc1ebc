"""The report of a run: one HTML file that needs nothing else, for the people who own the line.

A figure, curve or picture that is missing or damaged becomes a note on the page, never an error:
the report comes last, and hours of training must not end in a stack trace.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from numbers import Real
from pathlib import Path
from statistics import median
from typing import Any

from tasks.files import write_bytes

Record = dict[str, Any]

TEMPLATES = Path(__file__).with_name("templates")
PICTURE_BYTES = 20_000_000  # of all pictures together, as text; the file stays below 30 MB
WORST = 8  # pictures in a gallery
BINS = 48
PLOT = 200  # side of a curve's square, in SVG units
MIME = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}


@dataclass(frozen=True)
class CellResult:
    """One product x algorithm: its metrics.json, and the evaluation folder that this came from."""

    product: str
    algorithm: str
    metrics: Record
    folder: Path


@dataclass(frozen=True)
class Column:
    """A figure of the leaderboard. better: 1 more is better, -1 less is better, 0 neither."""

    key: str
    title: str
    style: str
    better: int
    missing: str = "not measured"


@dataclass(frozen=True)
class Score:
    """A row of scores.csv. decision: good, review, defect, or empty: there is no threshold."""

    path: str
    label: str
    score: float
    decision: str
    picture: str


COLUMNS = (
    Column("image_auroc", "Image AUROC", ".3f", 1, "no test images"),
    Column("pixel_auroc", "Pixel AUROC", ".3f", 1, "no masks"),
    Column("aupro_30", "AUPRO 0.3", ".3f", 1, "no masks"),
    Column("aupro_05", "AUPRO 0.05", ".3f", 1, "no masks"),
    Column("image_f1_max", "F1 max", ".3f", 1, "no test images"),
    Column("threshold", "Threshold", "#.4g", 0),
    Column("miss", "Miss", ".1%", -1, "no test images"),
    Column("overkill", "Overkill", ".1%", -1, "no test images"),
    Column("ms_per_image", "ms / image", ",.1f", -1),
    Column("fit_seconds", "Fit, s", ",.0f", -1),
    Column("peak_memory_mb", "Peak, MB", ",.0f", -1),
)


def write_report(
    cells: list[CellResult],
    decisions: dict[str, Record],
    path: Path,
    title: str,
    skipped: dict[str, str] | None = None,
    doubts: dict[str, list[Record]] | None = None,
    chosen: dict[str, list[str]] | None = None,
) -> Path:
    """Write the page and return its path.

    skipped: product -> why its images failed validation; doubts: product -> labels that most
    algorithms contradict; chosen: product -> why it trains what it does, where that is automatic.
    """
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader
    from markupsafe import Markup

    rooms = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=ChainableUndefined,  # a record may lack a key; it shows as a dash
        trim_blocks=True,
        lstrip_blocks=True,
    )
    rooms.filters["figure"] = figure
    css, script = ((TEMPLATES / f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    html = rooms.get_template("report.html.j2").render(
        title=title,
        time=datetime.now(UTC),
        css=Markup(css),
        script=Markup(script),
        policy=content_policy(css, script),
        columns=COLUMNS,
        plot=PLOT,
        decisions=dict(sorted(decisions.items())),
        products=_products(cells, decisions),
        best=best_figures(cells),
        skipped=dict(sorted((skipped or {}).items())),
        chosen=chosen or {},
        doubts={product: rows for product, rows in (doubts or {}).items() if rows},
    )
    # a file name with a lone surrogate (bytes that are no UTF-8) must not lose the page
    return write_bytes(path, html.lstrip().encode("utf-8", errors="replace"))


def content_policy(css: str, script: str) -> str:
    """A policy under which only these two texts act on the page, whatever a name smuggles in."""
    style, action = (
        "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
        for text in (css, script)
    )
    return f"default-src 'none'; img-src data:; style-src {style}; script-src {action}"


def figure(value: object, style: str) -> str | None:
    """The number as text, or None where there is no finite number."""
    number = _number(value)
    return None if number is None else format(number, style)


def best_figures(cells: list[CellResult]) -> set[tuple[str, str, str]]:
    """(product, algorithm, metric) of every figure that none of its product beats."""
    best = set()
    for product, rivals in _by_product(cells):
        for column in (column for column in COLUMNS if column.better):
            known = {cell.algorithm: _number(cell.metrics.get(column.key)) for cell in rivals}
            values = {name: value for name, value in known.items() if value is not None}
            top = max((column.better * value for value in values.values()), default=0.0)
            won = {name for name, value in values.items() if column.better * value == top}
            if len(won) < len(values):  # a figure that all share says nothing
                best |= {(product, name, column.key) for name in won}
    return best


def missing(column: Column, metrics: Record) -> str:
    """Why a cell has no such figure."""
    good, defective = metrics.get("test_good"), metrics.get("test_defective")
    decided = column.key in ("threshold", "miss", "overkill")
    if decided and "threshold" in metrics and metrics["threshold"] is None:
        return "no threshold: too few good images"
    if column.missing == "not measured" or None in (good, defective):
        return column.missing
    if not good and not defective:
        return "no test images"
    if column.missing == "no masks" or (good and defective):
        return column.missing
    return "no good test images" if defective else "no defective test images"


def worst(scores: list[Score], defective: bool, count: int = WORST) -> list[Score]:
    """The defective images that scored lowest, or the good ones that scored highest."""
    chosen = [row for row in scores if (row.label != "good") == defective]
    return sorted(chosen, key=lambda row: row.score if defective else -row.score)[:count]


def histogram(scores: list[Score], threshold: float | None) -> Record | None:
    """Per label BINS bars from low to high, as heights 0..1; None where there are no scores."""
    if not scores:
        return None
    edges = [row.score for row in scores] + ([] if threshold is None else [threshold])
    low, high = min(edges), max(edges)
    width = (high - low) or 1.0
    rows = {}
    for label, group in _by_label(scores):
        bars = [0] * BINS
        for row in group:
            bars[min(int((row.score - low) / width * BINS), BINS - 1)] += 1
        rows[label] = [bar / max(bars) for bar in bars]
    at = None if threshold is None else (threshold - low) / width
    return {
        "low": low,
        "high": low + width,
        "at": at,
        "threshold": threshold,
        "rows": rows,
    }


def slider(scores: list[Score], metrics: Record) -> Record | None:
    """What the page needs to count decisions at any threshold; None where there is none to move.

    Raw scores with every digit: the counts are those that the line would take.
    """
    threshold = _number(metrics.get("threshold"))
    if threshold is None or not scores:
        return None
    return {
        "threshold": threshold,
        "accept": _number(metrics.get("accept")),
        "good": sorted(row.score for row in scores if row.label == "good"),
        "defective": sorted(row.score for row in scores if row.label != "good"),
    }


def recalls(scores: list[Score], types: dict[str, Record]) -> list[Record]:
    """Per label the images, the decisions on them, how much it matters, and the median score.

    types: label -> its tally, in details.json.
    """
    return [
        {
            "label": label,
            "severity": types.get(label, {}).get("severity", ""),
            "images": len(group),
            "flagged": sum(row.decision == "defect" for row in group),
            "review": sum(row.decision == "review" for row in group),
            "passed": sum(row.decision == "good" for row in group),
            "decided": all(row.decision for row in group),
            "median": median(row.score for row in group),
        }
        for label, group in _by_label(scores)
    ]


def _products(cells: list[CellResult], decisions: dict[str, Record]) -> dict[str, list[Record]]:
    room = PICTURE_BYTES // (2 * len(cells) or 1)  # of each gallery
    views = {}
    for product, rivals in _by_product(cells):
        decision = decisions.get(product) or {}
        chosen = (decision.get("challenger") or {}).get("algorithm")
        verdict = "champion" if decision.get("accepted") else "refused"
        views[product] = [
            _view(cell, verdict if cell.algorithm == chosen else "", room) for cell in rivals
        ]
    return views


def _view(cell: CellResult, verdict: str, room: int) -> Record:
    """Everything that the page says about one cell."""
    notes: list[str] = []
    scores = _scores(cell.folder, notes)
    known = {name for name, value in cell.metrics.items() if _number(value) is not None}
    return {
        "cell": cell,
        "verdict": verdict,
        "notes": notes,
        "missing": {column.key: missing(column, cell.metrics) for column in COLUMNS},
        "roc": _curve(cell.folder / "roc.csv", "tpr", 1.0, notes) if "image_auroc" in known else "",
        "pro": _curve(cell.folder / "pro.csv", "pro", 0.3, notes) if "aupro_30" in known else "",
        "histogram": histogram(scores, _number(cell.metrics.get("threshold"))),
        "slider": slider(scores, cell.metrics),
        "recalls": recalls(scores, _severities(cell.folder, notes)),
        "galleries": [
            _gallery(worst(scores, defective), cell.folder, room) for defective in (True, False)
        ],
    }


def _scores(folder: Path, notes: list[str]) -> list[Score]:
    scores = []
    for line, row in enumerate(_rows(folder / "scores.csv", notes), start=2):
        score = _number(row.get("score"))
        path, label, decision, picture = (
            row.get(name) or "" for name in ("path", "label", "decision", "picture")
        )
        if score is None or not label or decision not in ("good", "review", "defect", ""):
            notes.append(f"scores.csv, line {line}: label, score or decision unusable; left out")
            continue
        scores.append(Score(path, label, score, decision, picture))
    return scores


def _severities(folder: Path, notes: list[str]) -> dict[str, Record]:
    """Label -> its tally of misses, as the evaluation left it."""
    try:
        found = json.loads((folder / "details.json").read_text("utf-8"))
        return dict(found["severity"]["types"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        notes.append(f"details.json cannot be read ({getattr(error, 'strerror', error)})")
        return {}


def _curve(path: Path, upwards: str, right: float, notes: list[str]) -> str:
    """The curve as SVG points, to half a unit: a curve of 100,000 points stays a few kB."""
    points: dict[str, None] = {}
    for row in _rows(path, notes):
        x, y = _number(row.get("fpr")), _number(row.get(upwards))
        if x is not None and y is not None and x <= right:
            x, y = x / right * PLOT, (1 - y) * PLOT
            points[f"{round(2 * x) / 2:g},{round(2 * y) / 2:g}"] = None
    return " ".join(points)


def _gallery(rows: list[Score], folder: Path, room: int) -> list[Record]:
    shown = []
    for row in rows:
        source, note = _picture(folder, row.picture)
        if source and len(source) > room:
            source, note = "", "picture left out, the page would grow too large"
        room -= len(source)
        shown.append({"row": row, "source": source, "note": note})
    return shown


def _picture(folder: Path, name: str) -> tuple[str, str]:
    """A data URI and no note, or no URI and the reason."""
    path = (folder / name).resolve()
    mime = MIME.get(path.suffix.lower())
    if not name:
        return "", "no picture was kept"
    if mime is None or not path.is_relative_to(folder.resolve()):
        return "", f"{name} is no picture of this evaluation"
    try:
        return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}", ""
    except OSError as error:
        return "", f"{name} cannot be read ({error.strerror})"


def _rows(path: Path, notes: list[str]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        notes.append(f"{path.name} cannot be read ({getattr(error, 'strerror', error)})")
        return []


def _number(value: object) -> float | None:
    if not isinstance(value, (Real, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _by_product(cells: list[CellResult]) -> list[tuple[str, list[CellResult]]]:
    ordered = sorted(cells, key=lambda cell: (cell.product, cell.algorithm))
    return [(name, list(group)) for name, group in groupby(ordered, lambda cell: cell.product)]


def _by_label(scores: list[Score]) -> list[tuple[str, list[Score]]]:
    ordered = sorted(scores, key=lambda row: (row.label != "good", row.label))
    return [(label, list(group)) for label, group in groupby(ordered, lambda row: row.label)]
