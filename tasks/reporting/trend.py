"""Miss and overkill over the gate's decisions of a product, with the limits of its spec."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from tasks.documents.champion import ChangeRecord
from tasks.documents.decision import Decision
from tasks.documents.metrics import GateMetrics
from tasks.reporting.axes import Axis
from tasks.reporting.pareto import span
from tasks.reporting.view import JsonObject

FIGURES = ("miss", "overkill")
WIDE, TALL = 400, 150
LOWEST = 0.05  # least height of the axis


class Judged(NamedTuple):
    """A model that the gate decided about."""

    time: str
    algorithm: str
    release: str
    accepted: bool
    metrics: GateMetrics


def judged(record: ChangeRecord) -> Judged | None:
    """The decision that a record of a product tells; None where it tells none, with figures."""
    extra = record.model_extra or {}
    body: Any = record.dump() if record.kind == "refusal" else extra.get("decision")
    try:
        found = Decision.model_validate(body)
    except ValidationError:
        return None
    if found.metrics is None:
        return None
    release = record.release or found.challenger.release or ""
    time = record.time or found.time
    return Judged(time, found.challenger.algorithm, release, found.accepted, found.metrics)


def decision_trend(
    decided: Sequence[Judged], limits: Mapping[str, float | None]
) -> JsonObject | None:
    """Lines and dots of miss and overkill over decisions, oldest first; None below two of them.

    limits: what the spec asks for, by figure.
    """
    known = [one for one in decided if any(one.metrics.figure(f) is not None for f in FIGURES)]
    if len(known) < 2:
        return None
    asked = {name: limit for name in FIGURES if (limit := limits.get(name)) is not None}
    values = [v for one in known for f in FIGURES if (v := one.metrics.figure(f)) is not None]
    up = Axis(0.0, min(1.0, max(LOWEST, 1.15 * max([*values, *asked.values()]))), TALL)
    gap = WIDE / (len(known) - 1)
    lines = []
    for name in FIGURES:
        dots = [
            dot_of(one, name, value, round(place * gap, 1), up)
            for place, one in enumerate(known)
            if (value := one.metrics.figure(name)) is not None
        ]
        points = " ".join(f"{dot['x']:g},{dot['y']:g}" for dot in dots)
        limit = asked.get(name)
        height = None if limit is None else round(TALL - up.at(limit), 1)
        lines.append({"name": name, "dots": dots, "points": points, "limit": limit, "at": height})
    return {"up": up, "wide": WIDE, "tall": TALL, "lines": lines, "decided": known}


def dot_of(one: Judged, name: str, value: float, x: float, up: Axis) -> JsonObject:
    """Place of a figure with its interval."""
    low, high = span(one.metrics.intervals.get(name), value)
    high = min(high, up.high)
    return {
        "judged": one,
        "value": value,
        "x": x,
        "y": round(TALL - up.at(value), 1),
        "top": round(TALL - up.at(high), 1),
        "bottom": round(TALL - up.at(low), 1),
    }
