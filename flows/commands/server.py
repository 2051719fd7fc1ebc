"""Commands that speak with a Prefect server: register there, ask how it goes."""

import json
from pathlib import Path
from typing import Any

import click

from flows.commands import here


@click.command()
@click.pass_context
def deploy(ctx: click.Context) -> None:
    """Register the workspace on the Prefect server that PREFECT_API_URL names. Safe to run again.

    A work pool, a deployment, the schedules of the specs, and for each product an automation that
    starts a run when `watch --announce` or `drift --announce` says that one is due.
    """
    from flows.prefect_server.start import ask

    workspace = here(ctx)
    ask()
    from flows.deploy import deploy as register

    for text in register(workspace):
        click.echo(text)


@click.command()
@click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default="inspectline-worker"
)
@click.option("--name", help="What `status` calls it; by default the name of this machine.")
def worker(directory: Path, name: str | None) -> None:
    """Train cells for the runs of other machines, one batch after the other, until it is ended.

    It serves every workspace on the Prefect server that PREFECT_API_URL names, in clones of its own
    below DIRECTORY. The environment holds what reaches the git and DVC remotes.
    """
    from flows.fleet.machine import serve
    from flows.prefect_server.start import named

    click.echo(f"serving {named()} from {directory}; Ctrl-C ends it", err=True)
    serve(directory, name)


@click.command()
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show workers, waiting and running runs, their cells, champions and last decisions."""
    from flows.prefect_server.start import ask
    from flows.tables import status_tables

    workspace = here(ctx)
    ask()
    from flows.status import status as look

    told: dict[str, Any] = {**vars(look()), "products": _products(workspace)}
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        status_tables(told)


def _products(workspace: Any) -> list[dict[str, Any]]:
    """Champion and last decision of each product."""
    from flows.run import read_champions
    from tasks.promotion.decision import last_decision

    champions = read_champions(workspace, workspace.products)
    found = []
    for product in workspace.products:
        champion, decision = champions.get(product), last_decision(workspace, product)
        verdict = ("promoted" if decision.accepted else "refused") if decision else ""
        found.append(
            {
                "product": product,
                "champion": champion and champion.algorithm,
                "release": champion and champion.release,
                "since": champion and champion.since,
                "last_gate": verdict,
                "at": decision and decision.time,
                "reasons": decision.reasons if decision else [],
            }
        )
    return found
