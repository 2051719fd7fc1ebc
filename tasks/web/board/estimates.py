"""Estimate the remaining time of a run from earlier durations of its stages."""

from datetime import UTC, datetime
from statistics import median
from typing import Any

JsonObject = dict[str, Any]


def seconds_left(
    working: list[JsonObject], waiting: list[str], usual: dict[str, float], slots: int
) -> int | None:
    """Estimated seconds left of a run; None if one of its stages never ran before."""
    known = [usual_duration(name, usual) for name in waiting]
    rest = [one["left"] if one["known"] else None for one in working]
    parts = [part for part in (*known, *rest) if part is not None]
    if len(parts) < len(known) + len(rest):
        return None
    return round(max([sum(parts) / slots, *(part for part in rest if part is not None)]))


def stage_durations(records: list[JsonObject]) -> dict[str, float]:
    """Seconds that each stage took the last time, and for each step and algorithm the median over
    products."""
    found: dict[str, float] = {}
    kinds: dict[str, list[float]] = {}
    for record in records:
        for name, stage in record["stages"].items():
            if stage["state"] == "done" and stage.get("began") and name not in found:
                found[name] = seconds_between(stage["began"], stage["ended"])
                kinds.setdefault(stage_kind(name), []).append(found[name])
    return {kind: median(values) for kind, values in kinds.items()} | found


def usual_duration(name: str, usual: dict[str, float]) -> float | None:
    return usual.get(name, usual.get(stage_kind(name)))


def stage_kind(name: str) -> str:
    """A stage's name without the product: `fit bottle padim` is a `fit * padim`."""
    step, *rest = name.split()
    return " ".join([step, "*", *rest[1:]])


def timestamp(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def seconds_between(began: str, ended: str) -> float:
    return timestamp(ended) - timestamp(began)


def seconds_since(time: str) -> float:
    return datetime.now(UTC).timestamp() - timestamp(time)
