"""Where the marks of a plot go, in units of its SVG; the templates draw them.

Marks in the page itself, and no library that draws on a canvas: they print sharply, follow light
and dark, are read out, and are there without a script.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from tasks.reporting.reading import number
from tasks.reporting.view import ModelView, Points, Record, Row

BINS = 48
SIDE = 200  # of a curve's square
LETTER = 6.2  # usual width of a letter
Box = tuple[float, float, float, float]  # left, top, right, bottom


class Axis(NamedTuple):
    """Values between low and high lie between 0 and `length`; log: by their ratios."""

    low: float
    high: float
    length: float
    log: bool = False

    def at(self, value: float) -> float:
        low, high, value = (
            (math.log(v) for v in (self.low, self.high, value))
            if self.log
            else (self.low, self.high, value)
        )
        return round(self.length * (value - low) / ((high - low) or 1.0), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Round values with their places."""
        values = decades(self.low, self.high) if self.log else steps(self.low, self.high)
        return [(self.at(value), f"{value:.6g}") for value in values]


def steps(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round values in low..high."""
    rough = (high - low) / count or 1.0
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [step * n for n in range(first, math.floor(high / step + 1e-9) + 1)]


def decades(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, ... in low..high."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def curve(points: Points, right: float) -> str:
    """A curve in a square of SIDE, x from 0 to `right`."""
    return " ".join(f"{x / right * SIDE:g},{(1 - y) * SIDE:g}" for x, y in points)


def histogram(rows: Sequence[Row], threshold: float | None, accept: float | None) -> Record | None:
    """Per label BINS bars from low to high, as heights 0..1; None where there are no scores."""
    if not rows:
        return None
    marks = [mark for mark in (threshold, accept) if mark is not None]
    edges = [row.score for row in rows] + marks
    low, high = min(edges), max(edges)
    width = (high - low) or 1.0
    bars = {}
    for label, group in by_label(rows):
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


def by_label(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    """Good ones first, then defect types by name."""
    ordered = sorted(rows, key=lambda row: (row.label != "good", row.label))
    return [(label, list(group)) for label, group in groupby(ordered, lambda row: row.label)]


def front(models: Sequence[ModelView], budget: float | None = None) -> Record | None:
    """Accuracy against latency: dots with their intervals, and those that nothing beats in both.

    budget: milliseconds that the gate allows.
    """
    known = [
        (model, ms, auroc)
        for model in models
        if (ms := number(model.metrics.get("ms_per_image"))) and ms > 0
        if (auroc := number(model.metrics.get("image_auroc"))) is not None
    ]
    if not known:
        return None
    lows = [interval(model, "image_auroc", auroc)[0] for model, _, auroc in known]
    times = [ms for _, ms, _ in known] + ([budget] if budget else [])
    across = Axis(min(times) / 1.4, max(times) * 1.4, 520, log=True)
    up = Axis(max(0.0, min(lows) - 0.02), 1.0, 220)
    taken: list[Box] = []
    dots = []
    for model, ms, auroc in sorted(known, key=lambda one: -one[2]):
        x, y = across.at(ms), up.length - up.at(auroc)
        ends = interval(model, "image_auroc", auroc)
        dots.append(
            {
                "model": model,
                "x": x,
                "y": y,
                "top": up.length - up.at(ends[1]),
                "bottom": up.length - up.at(ends[0]),
                **label_place(model.title, x, y, across.length, taken),
            }
        )
    best = [(across.at(ms), up.length - up.at(auroc)) for ms, auroc in unbeaten(known)]
    return {
        "across": across,
        "up": up,
        "dots": dots,
        "line": stairs(best, across.length),
        "budget": across.at(budget) if budget else None,
    }


def unbeaten(known: Sequence[tuple[ModelView, float, float]]) -> Points:
    """(milliseconds, AUROC) of what nothing faster is as accurate as; fastest first."""
    found: Points = []
    for _, ms, auroc in sorted(known, key=lambda one: (one[1], -one[2])):
        if not found or auroc > found[-1][1]:
            found.append((ms, auroc))
    return found


def stairs(points: Points, right: float) -> str:
    """A path that keeps the best so far until a better one comes."""
    (x, y), *rest = points
    return f"M{x:g} {y:g}" + "".join(f"H{x:g}V{y:g}" for x, y in rest) + f"H{right:g}"


def label_place(text: str, x: float, y: float, right: float, taken: list[Box]) -> dict[str, Any]:
    """Where a dot's label stands free of the others; nowhere is possible too."""
    taken.append((x - 5, y - 5, x + 5, y + 5))
    width = len(text) * LETTER
    for dx, dy, anchor in ((9, 4, "start"), (-9, 4, "end"), (0, -10, "middle"), (0, 18, "middle")):
        left = x + dx - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        box = (left, y + dy - 10, left + width, y + dy + 2)
        if left < 0 or box[2] > right or any(overlap(box, other) for other in taken[:-1]):
            continue
        taken.append(box)
        return {"label": text, "dx": dx, "dy": dy, "anchor": anchor}
    return {"label": "", "dx": 0, "dy": 0, "anchor": "start"}


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def interval(model: ModelView, name: str, value: float) -> tuple[float, float]:
    """The 95 % interval of a figure, or the figure alone."""
    ends = model.intervals.get(name)
    if isinstance(ends, list) and len(ends) == 2 and None not in ends:
        return float(ends[0]), float(ends[1])
    return value, value


def trend(releases: Sequence[Record], name: str = "image_auroc") -> Record | None:
    """A figure over the releases in their order; None where fewer than two have it."""
    known = [
        (release, value, (release["metrics"].get("intervals") or {}).get(name) or [value, value])
        for release in releases
        if (value := number(release["metrics"].get(name))) is not None
    ]
    if len(known) < 2:
        return None
    up = Axis(max(0.0, min(ends[0] for *_, ends in known) - 0.02), 1.0, 120)
    gap = 520 / max(len(known) - 1, 1)
    dots = [
        {
            "release": release,
            "value": value,
            "x": round(place * gap, 1),
            "y": up.length - up.at(value),
            "top": up.length - up.at(ends[1]),
            "bottom": up.length - up.at(ends[0]),
        }
        for place, (release, value, ends) in enumerate(known)
    ]
    line = " ".join(f"{dot['x']:g},{dot['y']:g}" for dot in dots)
    return {"up": up, "dots": dots, "line": line}


def scatter(look: Record) -> Record | None:
    """A measure of every image, group beside group in the order of names; drift is a slope."""
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
