"""Commands for a Prefect server: register a workspace, run a worker, show the status."""

import json
from pathlib import Path
from typing import Any

import click

from flows.commands import current_workspace


@click.command()
@click.pass_context
def deploy(ctx: click.Context) -> None:
    """Register the workspace on the Prefect server that PREFECT_API_URL names. Safe to run again.

    It registers a work pool, a deployment, the schedules of the specs, and for each product an
    automation. The automation starts a run when `watch --announce` or `drift --announce` reports
    that one is due.
    """
    from flows.prefect_server.start import open_to_all, require_server, server_url

    workspace = current_workspace(ctx)
    require_server()
    if warning := open_to_all(server_url()):
        click.echo(warning, err=True)
    from flows.deploy import deploy_workspace

    for text in deploy_workspace(workspace):
        click.echo(text)


@click.command()
@click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default="inspectline-worker"
)
@click.option("--name", help="Its name in `status`; by default the name of this machine.")
@click.option(
    "--pool",
    default="inspectline-cells",
    show_default=True,
    help="Work pool of type process, as line.workers.pool names it.",
)
def worker(directory: Path, name: str | None, pool: str) -> None:
    """Train cells for the runs of other machines, one batch after another, until it is stopped.

    It works for every workspace on the Prefect server that PREFECT_API_URL names, in its own clones
    below DIRECTORY. The environment must have the credentials of the git and DVC remotes.
    """
    from flows.fleet.machine import run_worker
    from flows.prefect_server.start import open_to_all, server_url
    from tasks.workspace.secrets import without_password

    url = server_url()
    if warning := open_to_all(url):
        click.echo(warning, err=True)
    click.echo(f"serving {without_password(url)} from {directory}; Ctrl-C ends it", err=True)
    run_worker(directory, name, pool)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="JSON in place of a table.")
@click.pass_context
def status(ctx: click.Context, as_json: bool) -> None:
    """Show workers, waiting and running runs, their cells, champions and last decisions."""
    from flows.prefect_server.start import require_server
    from flows.tables import status_tables

    workspace = current_workspace(ctx)
    require_server()
    from flows.status import read_status
    from tasks.spec.read import read_params

    workers = read_params(workspace.root).line.workers
    found = read_status(workers.pool.name) if workers else read_status()
    state: dict[str, Any] = {**vars(found), "products": _products(workspace)}
    if as_json:
        click.echo(json.dumps(state, indent=1))
    else:
        status_tables(state)


def _products(workspace: Any) -> list[dict[str, Any]]:
    """Champion and last decision of each product."""
    from tasks.leaderboard import champions
    from tasks.promotion.decision import last_decision

    current = champions(workspace, workspace.products)
    found = []
    for product in workspace.products:
        champion, decision = current.get(product), last_decision(workspace, product)
        outcome = ("promoted" if decision.accepted else "refused") if decision else ""
        found.append(
            {
                "product": product,
                "champion": champion and champion.algorithm,
                "release": champion and champion.release,
                "since": champion and champion.since,
                "last_gate": outcome,
                "at": decision and decision.time,
                "reasons": decision.reasons if decision else [],
            }
        )
    return found
