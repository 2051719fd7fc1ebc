"""Write the report: one HTML file that needs no other file."""

from datetime import datetime
from pathlib import Path

from tasks.reporting.gather import gather
from tasks.reporting.page import render
from tasks.workspace.files import write_bytes
from tasks.workspace.paths import Workspace


def write_report(workspace: Workspace, failures: dict[str, str] | None = None) -> Path:
    """Write report/<time>/report.html about the whole workspace; its path.

    failures: why stages of the run failed, by their names.
    """
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S")
    path = workspace.root / "report" / stamp / "report.html"
    # a file name with bytes that are not UTF-8 must not stop the report
    return write_bytes(path, render(gather(workspace, failures)).encode(errors="replace"))
