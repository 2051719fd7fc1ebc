"""The present run, its remaining time, and the last failures."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.web.board.estimates import (
    seconds_left,
    seconds_since,
    stage_durations,
    timestamp,
    usual_duration,
)
from tasks.workspace import clock
from tasks.workspace.journal import journals
from tasks.workspace.lock import RUN, in_use
from tasks.workspace.paths import CARD, Workspace
from tasks.workspace.stopping import holder

JsonObject = dict[str, Any]
OVER = ("done", "unchanged", "failed", "stopped")
EARLIEST = 0.05  # smallest fraction of a part for an estimate


def current_state(workspace: Workspace) -> JsonObject:
    """run: the newest run, or None, `finishing` while it writes its report; planning: a run has
    started and checks what to do; failures: failures that are not fixed yet."""
    records = journals(workspace)
    usual = stage_durations(records)
    last = run_now(records[0], usual) if records else None
    if last and is_finishing(workspace, records[0]):
        last["state"] = "finishing"
    busy = last and last["state"] in ("working", "finishing")
    return {
        "time": clock.now(),
        "run": last,
        "planning": is_planning(workspace) and not busy,
        "failures": open_failures(workspace, records),
    }


def is_planning(workspace: Workspace) -> bool:
    """Whether a run, and no change by hand, holds the workspace."""
    found = holder(workspace)
    return found.what == RUN if found else in_use(workspace)


def is_finishing(workspace: Workspace, record: JsonObject) -> bool:
    """Whether the run that this journal is of still holds the workspace, with its stages over."""
    found = holder(workspace)
    ended = record["ended"] is not None
    return bool(ended and found and (found.pid, found.host) == (record["pid"], record["host"]))


def run_now(record: JsonObject, usual: dict[str, float]) -> JsonObject:
    """Counts, running stages and remaining time of a run."""
    stages = record["stages"]
    alive = record["alive"]
    at_work = {n: s for n, s in stages.items() if s["state"] == "working"} if alive else {}
    working = [stage_now(name, stage, usual) for name, stage in at_work.items()]
    waiting = [name for name, stage in stages.items() if stage["state"] == "waiting"]
    return {
        "state": state_of(record),
        "began": record["began"],
        "ended": record["ended"] or (None if alive else record["told"]),
        "host": record["host"],
        "pid": record["pid"],
        "by": record.get("by", ""),
        "stopped": (record.get("stopped") or {}).get("by", ""),
        "done": sum(stage["state"] in OVER for stage in stages.values()),
        "failed": sum(stage["state"] == "failed" for stage in stages.values()),
        "total": len(stages),
        "working": working,
        "waiting": waiting if alive else [],
        "left": seconds_left(working, waiting, usual, record["slots"]) if alive else None,
    }


def state_of(record: JsonObject) -> str:
    """working, killed (it has no end and its process is gone), stopped, failed or done."""
    states = {stage["state"] for stage in record["stages"].values()}
    if record["ended"] is None:
        return "working" if record["alive"] else "killed"
    if record.get("stopped") and "waiting" in states:  # also where what was at work came to its end
        return "stopped"
    return next((state for state in ("stopped", "failed") if state in states), "done")


def stage_now(name: str, stage: JsonObject, usual: dict[str, float]) -> JsonObject:
    """A running stage with its estimated seconds left: of the whole stage if an earlier duration is
    known (`known`), otherwise of its present part."""
    spent = seconds_since(stage["began"])
    before = usual_duration(name, usual)
    rest: float | None = max(0.0, before - spent) if before is not None else None
    fraction = stage.get("fraction", 0.0)
    if rest is None and EARLIEST <= fraction <= 1:
        rest = seconds_since(stage["part"]) * (1 - fraction) / fraction
    return {
        "name": name,
        "step": stage.get("step", ""),
        "fraction": fraction,
        "metrics": stage.get("metrics", {}),
        "device": stage.get("device", ""),
        "seconds": round(spent, 1),
        "left": None if rest is None else round(rest),
        "known": before is not None,
    }


def open_failures(workspace: Workspace, records: list[JsonObject]) -> list[JsonObject]:
    """Stages that failed or were killed in their last run, newest first."""
    found, seen = [], set()
    for record in records:
        for name, stage in record["stages"].items():
            if stage["state"] == "waiting" or name in seen:
                continue
            seen.add(name)
            failure = failure_of(name, stage, record)
            if failure and not is_fixed(workspace, name, failure["time"]):
                found.append(failure)
    return sorted(found, key=lambda one: str(one["time"]), reverse=True)


def failure_of(name: str, stage: JsonObject, record: JsonObject) -> JsonObject | None:
    if stage["state"] == "failed":
        return {"name": name, "time": stage["ended"], "reason": stage.get("reason", "")}
    if stage["state"] == "working" and not record["alive"]:
        reason = f"its run was killed (process {record['pid']} on {record['host']})"
        return {"name": name, "time": record["told"], "reason": reason}
    return None


def is_fixed(workspace: Workspace, name: str, time: str) -> bool:
    """Whether the stage's result is newer than its failure, or its product was removed."""
    step, product, algorithm = (*name.split(), "", "")[:3]
    if product and product not in workspace.products and step != "pretrain":
        return True
    results: dict[str, Callable[[], Path]] = {
        "validate": lambda: workspace.validation(product) / "result.json",
        "fit": lambda: workspace.model(product, algorithm) / CARD,
        "evaluate": lambda: workspace.evaluation(product, algorithm) / "metrics.json",
    }
    path = results[step]() if step in results else None
    return path is not None and path.is_file() and path.stat().st_mtime > timestamp(time)
