"""The report of a run: one HTML file that needs nothing else, for the people who own the line."""

from datetime import datetime
from pathlib import Path

from tasks.reporting.gather import gather
from tasks.reporting.page import render
from tasks.workspace.files import write_bytes
from tasks.workspace.paths import Workspace


def write_report(workspace: Workspace, failures: dict[str, str] | None = None) -> Path:
    """Write report/<time>/report.html of everything the workspace knows; its path.

    failures: why stages of the run failed, by their names.
    """
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    path = workspace.root / "report" / stamp / "report.html"
    # a file name with a lone surrogate (bytes that are no UTF-8) must not lose the page
    return write_bytes(path, render(gather(workspace, failures)).encode(errors="replace"))
