"""What a run leaves in the Prefect UI: a progress bar per cell, the table, each decision."""

import time
from typing import Any

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import TaskRunContext

from tasks.leaderboard import COLUMNS
from tasks.workspace import safe_name

EVERY = 5.0  # seconds between updates of a bar


class Progress:
    """The bar of one cell; outside a task there is none."""

    def __init__(self, name: str) -> None:
        self._told = time.monotonic()
        self._bar: Any = None
        if TaskRunContext.get():
            self._bar = create_progress_artifact(0.0, key=safe_name(name), description=name)

    def update(self, fraction: float) -> None:
        if self._bar and time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            update_progress_artifact(self._bar, 100 * fraction)

    def end(self) -> None:
        if self._bar:
            update_progress_artifact(self._bar, 100.0)


def table(rows: list[dict[str, Any]]) -> None:
    """The leaderboard."""
    shown = [{name: row[name] for name in COLUMNS} for row in rows]
    create_table_artifact(shown, key="leaderboard", description="All cells of the workspace")


def decision(decided: dict[str, Any]) -> None:
    """Why a product's challenger was promoted or refused."""
    verdict = "promoted" if decided["accepted"] else "refused"
    lines = [f"## {decided['product']}: {decided['challenger']['algorithm']} {verdict}", ""]
    lines += [f"- {reason}" for reason in decided["reasons"]]
    lines += ["", "| gate | limit | value | passed |", "|---|---|---|---|"]
    for check in decided["floors"]:
        lines.append(
            f"| {check['name']} | {check['limit']} | {check['value']} | {check['passed']} |"
        )
    create_markdown_artifact("\n".join(lines), key=f"decision-{safe_name(decided['product'])}")
