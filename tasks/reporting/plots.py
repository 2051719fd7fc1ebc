"""Positions of the marks of a plot, in units of its SVG; the templates draw them.

We use SVG and no canvas library: SVG prints sharply, follows light and dark mode, works with screen
readers, and needs no script.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from tasks.reporting.axes import Axis
from tasks.reporting.view import JsonObject, Points, Row

BINS = 48
SIDE = 200  # of a curve's square


def polyline(points: Points, right: float) -> str:
    """A curve in a square of SIDE, x from 0 to `right`."""
    return " ".join(f"{x / right * SIDE:g},{(1 - y) * SIDE:g}" for x, y in points)


def histogram(
    rows: Sequence[Row], threshold: float | None, accept: float | None
) -> JsonObject | None:
    """For each label BINS bars from low to high, heights 0..1; None without scores."""
    if not rows:
        return None
    marks = [mark for mark in (threshold, accept) if mark is not None]
    edges = [row.score for row in rows] + marks
    low, high = min(edges), max(edges)
    width = (high - low) or 1.0
    bars = {}
    for label, group in rows_by_label(rows):
        counts = [0] * BINS
        for row in group:
            counts[min(int((row.score - low) / width * BINS), BINS - 1)] += 1
        bars[label] = [count / max(counts) for count in counts]
    return {
        "low": low,
        "high": low + width,
        "at": None if threshold is None else (threshold - low) / width,
        "accept_at": None if accept is None or accept == threshold else (accept - low) / width,
        "threshold": threshold,
        "accept": accept,
        "rows": bars,
    }


def rows_by_label(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Rows by label: good first, then defect types by name."""
    ordered = sorted(rows, key=lambda row: (row.label != "good", row.label))
    return [(label, list(group)) for label, group in groupby(ordered, lambda row: row.label)]


def scatter(look: JsonObject) -> JsonObject | None:
    """A measure of every image, group by group, sorted by name: drift shows as a slope."""
    values = [value for group in look["groups"] for value in group["values"]]
    if not values:
        return None
    ends = [v for v in (look["low"], look["high"]) if v is not None and v < 2 * max(values)]
    up = Axis(min(values + ends), max(values + ends), 140)
    gap, at, groups = 640 / len(values), 0.0, []
    for group in look["groups"]:
        width = gap * len(group["values"])
        dots = [
            (round(at + gap * (n + 0.5), 1), up.length - up.at(value))
            for n, value in enumerate(group["values"])
        ]
        groups.append({**group, "left": round(at, 1), "width": round(width, 1), "dots": dots})
        at += width
    band = [None if v is None else up.length - up.at(v) for v in (look["high"], look["low"])]
    return {"up": up, "groups": groups, "band": band}
