"""Tables and lines for the terminal."""

import re
from typing import Any

from rich.console import Console
from rich.table import Table

from tasks.arrival.safe_paths import printable
from tasks.documents.metrics import Metrics
from tasks.documents.result import Result
from tasks.store.releases import Release

Row = dict[str, Any]

RESULTS = {  # heading -> (key, format)
    "image AUROC": ("image_auroc", "{:.4f}"),
    "pixel AUROC": ("pixel_auroc", "{:.4f}"),
    "AUPRO": ("aupro_30", "{:.4f}"),
    "miss": ("miss", "{:.1%}"),
    "overkill": ("overkill", "{:.1%}"),
    "cost": ("cost", "{:.3f}"),
    "review": ("review", "{:.1%}"),
    "critical passed": ("critical_missed", "{}"),
    "threshold": ("threshold", "{:.4g}"),
    "ms/image": ("ms_per_image", "{:.1f}"),
    "fit s": ("fit_seconds", "{:.1f}"),
    "MB": ("peak_memory_mb", "{:.0f}"),
}
RARE = ("review", "critical passed")  # shown if a row has a value


def format_value(value: float | None, form: str) -> str:
    """The formatted value; a dash if unknown."""
    return "-" if value is None else form.format(value)


def print_table(table: Table) -> None:
    """Print at the width of the terminal; to a file or pipe with 160 columns."""
    console = Console()
    console.print(table) if console.is_terminal else Console(width=160).print(table)


def results_table(cells: list[Metrics], champions: dict[str, str] | None = None) -> None:
    """One line per cell; * marks the champion's algorithm of each product."""
    table = Table(
        "product", "algorithm", "made with", box=None, pad_edge=False, header_style="bold"
    )
    columns = {
        heading: column
        for heading, column in RESULTS.items()
        if heading not in RARE or any(cell.figure(column[0]) for cell in cells)
    }
    for heading in columns:
        table.add_column(heading, justify="right")
    for cell in cells:
        mark = " *" if (champions or {}).get(cell.product) == cell.algorithm else ""
        values = [format_value(cell.figure(key), form) for key, form in columns.values()]
        table.add_row(cell.product, cell.algorithm + mark, made_with(cell), *values)
    print_table(table)


def made_with(cell: Metrics) -> str:
    """Preset, size, steps and backbone; of a long name of a backbone the beginning. A dash if
    unknown."""
    return re.sub("_patch[^, ]*", "", cell.made) or "-"


def releases_table(rows: list[Release]) -> None:
    """One line per release, oldest first."""
    table = Table("", "release", "algorithm", "made with", "created", box=None, header_style="bold")
    for heading in ("image AUROC", "AUPRO", "MB"):
        table.add_column(heading, justify="right")
    for row in rows:
        metrics = row.metrics or Metrics()
        table.add_row(
            "*" if row.champion else "",
            row.id,
            row.algorithm,
            made_with(metrics),
            row.created,
            format_value(metrics.image_auroc, "{:.4f}"),
            format_value(metrics.aupro_30, "{:.4f}"),
            f"{row.bytes / 1e6:.1f}",
        )
    print_table(table)


def prediction_line(found: Row) -> str:
    """decision, score against threshold, path."""
    limit = format_value(found["threshold"], "{:.4g}")
    return f"{found['decision'].upper():<7} {found['score']:.4g} (threshold {limit}) " + printable(
        found["image"]
    )


def result_line(found: Result) -> str:
    """decision, score, part, name."""
    score = format_value(found.score, "{:.4g}")
    what = printable(found.fault or found.image or "")
    return f"{found.decision.upper():<7} {score} part {printable(found.part)} {what}".rstrip()


def drift_table(findings: list[Any]) -> None:
    """One line per comparison."""
    table = Table("", "compared", box=None, header_style="bold")
    for heading in ("parts", "beyond chance", "limit", "now", "reference"):
        table.add_column(heading, justify="right")
    for one in findings:
        known = "DRIFTED" if one.drifted else "-" if one.distance is None else "ok"
        figures = [" ".join(f"{v:.4g}" for v in part.values()) for part in (one.now, one.reference)]
        certain = format_value(one.distance, "{:.3f}")
        table.add_row(known, one.name, str(one.parts), certain, f"{one.limit:g}", *figures)
    print_table(table)
    print("scores, brightness, sharpness: quantiles 0.5, 0.9, 0.99; - means too little data")


def status_tables(state: Row) -> None:
    """Workers, queue, runs, cells and products, each in a table."""
    for title in ("workers", "queue", "runs", "cells"):
        rows = state[title]
        table = Table(title, *list(rows[0])[1:] if rows else (), box=None, header_style="bold")
        for row in rows:
            table.add_row(*(str(value or "-") for value in row.values()))
        if not rows:
            table.add_row("none")
        print_table(table)
    columns = ("product", "champion", "release", "since", "last_gate", "at")
    table = Table(*columns, "why", box=None, header_style="bold")
    for row in state["products"]:
        why = "; ".join(row["reasons"])
        table.add_row(*(str(row[name] or "-") for name in columns), why)
    print_table(table)
