"""Plots of models and releases with intervals: the Pareto front, and the trend over releases."""

from collections.abc import Sequence
from typing import Any

from tasks.reporting.axes import Axis
from tasks.reporting.view import JsonObject, ModelView, Points
from tasks.store.releases import Release

LETTER = 6.2  # usual width of a letter, in units of the SVG
Box = tuple[float, float, float, float]  # left, top, right, bottom


def pareto_front(models: Sequence[ModelView]) -> JsonObject | None:
    """Accuracy against latency: dots with intervals, and the Pareto front."""
    known = [
        (model, ms, auroc)
        for model in models
        if (ms := model.metrics.ms_per_image) and ms > 0
        if (auroc := model.metrics.image_auroc) is not None
    ]
    if not known:
        return None
    lows = [min(auroc, interval(model, "image_auroc", auroc)[0]) for model, _, auroc in known]
    times = [ms for _, ms, _ in known]
    across = Axis(min(times) / 1.4, max(times) * 1.4, 520, log=True)
    up = Axis(max(0.0, min(lows) - 0.02), 1.0, 220)
    places = [(across.at(ms), up.length - up.at(auroc)) for _, ms, auroc in known]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
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
    best = [(across.at(ms), up.length - up.at(auroc)) for ms, auroc in pareto_points(known)]
    return {
        "across": across,
        "up": up,
        "dots": dots,
        "line": step_path(best, across.length),
    }


def pareto_points(known: Sequence[tuple[ModelView, float, float]]) -> Points:
    """(milliseconds, AUROC) of the Pareto-optimal models, fastest first."""
    found: Points = []
    for _, ms, auroc in sorted(known, key=lambda one: (one[1], -one[2])):
        if not found or auroc > found[-1][1]:
            found.append((ms, auroc))
    return found


def step_path(points: Points, right: float) -> str:
    """A step path through the points of the front."""
    (x, y), *rest = points
    return f"M{x:g} {y:g}" + "".join(f"H{x:g}V{y:g}" for x, y in rest) + f"H{right:g}"


def label_place(text: str, x: float, y: float, right: float, taken: list[Box]) -> dict[str, Any]:
    """A position for a dot's label beside all dots and labels that are `taken`; an empty label if
    there is none."""
    width = len(text) * LETTER
    for dx, dy, anchor in ((9, 4, "start"), (-9, 4, "end"), (0, -10, "middle"), (0, 18, "middle")):
        left = x + dx - width * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        box = (left, y + dy - 10, left + width, y + dy + 2)
        if left < 0 or box[2] > right or any(overlap(box, other) for other in taken):
            continue
        taken.append(box)
        return {"label": text, "dx": dx, "dy": dy, "anchor": anchor}
    return {"label": "", "dx": 0, "dy": 0, "anchor": "start"}


def overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def interval(model: ModelView, name: str, value: float) -> tuple[float, float]:
    """The 95 % interval of a figure, or the figure twice."""
    return span(model.intervals.get(name), value)


def span(ends: Any, value: float) -> tuple[float, float]:
    """Both ends as numbers; the value for both where they are unknown."""
    if isinstance(ends, list) and len(ends) == 2 and None not in ends:
        return float(ends[0]), float(ends[1])
    return value, value


def release_trend(releases: Sequence[Release]) -> JsonObject | None:
    """The image AUROC over the releases in their order; None if fewer than two have it."""
    known = [
        (release, value, span(release.metrics.intervals.get("image_auroc"), value))
        for release in releases
        if release.metrics and (value := release.metrics.figure("image_auroc")) is not None
    ]
    if len(known) < 2:
        return None
    low = min(min(value, ends[0]) for _, value, ends in known)
    up = Axis(max(0.0, low - 0.02), 1.0, 120)
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
