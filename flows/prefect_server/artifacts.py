"""Artifacts of a run in the Prefect UI: a progress bar per cell, the table, each decision with its
worst pictures, and the path of the report."""

import base64
import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any

import httpx
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import TaskRunContext
from prefect.exceptions import PrefectException

from tasks.documents.decision import Decision
from tasks.documents.metrics import Metrics
from tasks.leaderboard import row
from tasks.reporting.worst_pictures import WrongDecision, worst_decisions
from tasks.workspace.names import safe_name
from tasks.workspace.paths import Workspace

EVERY = 5.0  # seconds between updates of a bar
PATIENCE = 10.0  # seconds to wait for the last of them


AWAY = (httpx.HTTPError, PrefectException)  # errors of a server that does not answer correctly
SENDER = ThreadPoolExecutor(1, "progress")  # a busy server takes seconds for an answer


class Progress:
    """The progress bar of one cell, only inside a task. It is sent beside the cell, which waits
    for no server; errors of the server do not stop it."""

    def __init__(self, name: str) -> None:
        self._sent = time.monotonic()
        self._fraction = 0.0
        self._bar: Any = None
        self._last: Future[None] | None = None
        self._context = copy_context() if TaskRunContext.get() else None
        self._send(lambda: self._begin(name))

    def update(self, fraction: float) -> None:
        self._fraction = fraction
        if time.monotonic() - self._sent >= EVERY and (self._last is None or self._last.done()):
            self._send(self._show)
            self._sent = time.monotonic()

    def end(self) -> None:
        self._fraction = 1.0
        self._send(self._show)

    def _send(self, what: Callable[[], None]) -> None:
        if self._context:
            self._last = SENDER.submit(self._context.run, what)

    def _begin(self, name: str) -> None:
        with suppress(*AWAY):
            self._bar = create_progress_artifact(0.0, key=safe_name(name), description=name)

    def _show(self) -> None:
        """The newest fraction, also where the server kept it waiting."""
        if self._bar:
            with suppress(*AWAY):
                update_progress_artifact(self._bar, 100 * self._fraction)


def all_sent() -> None:
    """Wait until the bars have reached the server, at most PATIENCE."""
    with suppress(TimeoutError):
        SENDER.submit(lambda: None).result(PATIENCE)


def table_artifact(cells: list[Metrics]) -> None:
    """The leaderboard."""
    shown = [row(cell) for cell in cells]
    with suppress(*AWAY):
        create_table_artifact(shown, key="leaderboard", description="All cells of the workspace")


def decision_artifact(workspace: Workspace, decided: Decision) -> None:
    """Why a product's challenger was promoted or refused, and what it gets most wrong."""
    product, algorithm = decided.product, decided.challenger.algorithm
    outcome = "promoted" if decided.accepted else "refused"
    lines = [f"## {product}: {algorithm} {outcome}", ""]
    lines += [f"- {plain(reason)}" for reason in decided.reasons]
    lines += ["", "| gate | limit | value | passed |", "|---|---|---|---|"]
    for check in decided.floors:
        lines.append(f"| {check.name} | {check.limit} | {check.value} | {check.passed} |")
    if release := decided.challenger.release:
        lines += ["", f"Release: {code(f'{decided.store}/releases/{product}/{release}')}"]
    for wrong in worst_decisions(workspace.evaluation(product, algorithm)):
        lines += ["", caption(wrong), "", f"![]({data_url(wrong.picture)})"]
    with suppress(*AWAY):
        create_markdown_artifact("\n".join(lines), key=f"decision-{safe_name(product)}")


def caption(wrong: WrongDecision) -> str:
    """The caption of a picture: path, outcome and score."""
    return f"{code(wrong.path)} **{wrong.outcome}**, score {wrong.score:.4g}"


def plain(text: str) -> str:
    """One line that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>!|#&~])", r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """One line in code marks, more than it holds itself: nothing acts between them."""
    line = " ".join(text.split())
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{marks}{line}{marks}" if len(marks) == 1 else f"{marks} {line} {marks}"


def data_url(picture: bytes) -> str:
    """The picture as a data URL: another machine has no files of this workspace."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def report_artifact(path: Path) -> None:
    """A link to the report."""
    text = "The report, on the machine that ran the line; `inspectline board` shows the same live"
    with suppress(*AWAY):
        create_link_artifact(path.as_uri(), link_text=str(path), key="report", description=text)
