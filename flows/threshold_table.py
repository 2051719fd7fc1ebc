"""`inspectline threshold PRODUCT`: the threshold in force, and what others would decide."""

from typing import Any

import click
from rich.table import Table

from flows.tables import format_value, print_table
from tasks.leaderboard import champion_algorithms, champions
from tasks.promotion.decision import last_decision
from tasks.promotion.evaluated_cell import EvaluatedCell, read_cell
from tasks.reporting.alternatives import alternatives
from tasks.reporting.decision_lines import outcome, threshold_lines
from tasks.spec.read import read_product
from tasks.workspace.paths import Workspace

COLUMNS = ("overkill bound", "overkill", "miss", "expected cost")


def show_threshold(workspace: Workspace, product: str) -> None:
    """Print the rule of the spec, the threshold of the best cell, and alternatives to it."""
    policy = read_product(workspace.root, product).threshold
    for line in rule_lines(policy.model_dump(mode="json")):
        click.echo(line)
    algorithm = shown_algorithm(workspace, product)
    cell = read_cell(workspace, product, algorithm) if algorithm else None
    if algorithm is None or cell is None:
        click.echo("\nno cell is evaluated yet; `inspectline run` does it")
        return
    click.echo(f"\n{algorithm}: {outcome(cell.metrics, cell.intervals)}")
    for line in threshold_lines(cell.thresholds, cell.edge) if cell.thresholds else []:
        click.echo(line)
    table = Table("rule", "threshold", box=None, header_style="bold")
    for heading in COLUMNS:
        table.add_column(heading, justify="right")
    table.add_row("* in force", *_figures(cell))
    for one in alternatives(workspace, product, algorithm, policy):
        shares = [format_value(v, "{:.1%}") for v in (one.overkill_bound, one.overkill, one.miss)]
        table.add_row(one.rule, f"{one.value:.6g}", *shares, format_value(one.cost, "{:.3f}"))
    click.echo()
    print_table(table)
    click.echo(
        "overkill and miss: of the test images. In force, each known defect is judged by a "
        "threshold that did not see it; in the other rows it may have seen it"
    )


def rule_lines(rule: dict[str, Any]) -> list[str]:
    """The keys of a rule that say something, as they stand in a spec: those without a value are
    left out, and those of a section stand together."""
    lines = []
    for key, value in rule.items():
        if isinstance(value, dict):
            lines.append(f"{key}: " + ", ".join(one.replace(":", "") for one in rule_lines(value)))
        elif value is not None:
            lines.append(f"{key}: {f'{value:g}' if isinstance(value, float) else value}")
    return lines


def _figures(cell: EvaluatedCell) -> list[str]:
    metrics = cell.metrics
    shares = [
        format_value(value, "{:.1%}")
        for value in (metrics.overkill_bound, metrics.overkill, metrics.miss)
    ]
    limit = format_value(metrics.threshold, "{:.6g}")
    return [limit, *shares, format_value(metrics.cost, "{:.3f}")]


def shown_algorithm(workspace: Workspace, product: str) -> str | None:
    """The champion's algorithm, if it is evaluated here, or the one of the last decision, or the
    first that is evaluated."""
    names = list(champion_algorithms(champions(workspace, [product])).values())
    decision = last_decision(workspace, product)
    names += [decision.challenger.algorithm] if decision else []
    names += read_product(workspace.root, product).algorithms
    return next((name for name in names if read_cell(workspace, product, name)), None)
