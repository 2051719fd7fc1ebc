"""Commands that ingest images and train, evaluate and publish models."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from flows.commands import annotations_option, current_workspace, labels_option


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(directory: Path) -> None:
    """Create a workspace in DIRECTORY: git, DVC, params.yaml, dvc.yaml, data/. Safe to run
    again."""
    from tasks.init import init as init_workspace

    for line in init_workspace(directory):
        click.echo(line)


@click.command()
@click.argument("product")
@click.argument("source")
@labels_option
@annotations_option
@click.option("--json", "as_json", is_flag=True, help="What became of each file, as JSON.")
@click.pass_context
def ingest(
    ctx: click.Context,
    product: str,
    source: str,
    labels: tuple[str, ...],
    annotations: Path | None,
    as_json: bool,
) -> None:
    """Copy images of PRODUCT from SOURCE and version them.

    SOURCE is a folder (MVTec AD layout, a folder for each label, or good images only), a zip or
    tar, or s3://bucket/prefix. Where folders may be labels and their names do not say so, nothing
    is taken and you are asked; --labels answers, or a file of --annotations.
    """
    from flows.ingest import ingest_product, require_some, what_next
    from tasks.arrival.labels import read_labels

    workspace = current_workspace(ctx)
    known = workspace.products
    report = ingest_product(workspace, product, source, read_labels(labels, annotations))
    if as_json:
        click.echo(json.dumps(asdict(report)))
        ctx.exit(0 if report.images else 1)
    require_some(report, source)
    click.echo(report.summary())
    for told in what_next(workspace, product, known):
        click.echo(told)


@click.command()
@click.option("--product", "-p", "products", multiple=True, help="Only this one; repeatable.")
@click.option("--algorithm", "-a", "algorithms", multiple=True, help="Only this one; repeatable.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log as well.")
@click.pass_context
def run(
    ctx: click.Context, products: tuple[str, ...], algorithms: tuple[str, ...], verbose: bool
) -> None:
    """Validate, train, evaluate, gate, publish and report everything that is out of date."""
    from flows.running.progress import telling

    with telling("starting", first=1.0):
        from flows.prefect_server.own import own
        from flows.run import run_line

    ok = run_line(current_workspace(ctx), list(products), list(algorithms) or None, verbose)
    with telling("ending Prefect"):
        own.stop()
    ctx.exit(0 if ok else 1)


@click.command()
@click.pass_context
def stop(ctx: click.Context) -> None:
    """Ask the run of this workspace to stop, as Ctrl-C does. Its checkpoints are kept.

    The run must be of the same user, on this machine. It ends once its cells have come to the end
    of a batch; the next run goes on from there.
    """
    from tasks.workspace.git import operator
    from tasks.workspace.stopping import stop_run

    asked = stop_run(current_workspace(ctx), operator())
    click.echo(f"asked to stop: {asked}; `inspectline run` goes on from there")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object per cell.")
@click.pass_context
def results(ctx: click.Context, as_json: bool) -> None:
    """Show the figures of every evaluated cell."""
    from flows.tables import results_table
    from tasks.leaderboard import champion_algorithms, champions, read_results, result

    workspace = current_workspace(ctx)
    cells = read_results(workspace)
    best = champion_algorithms(champions(workspace, workspace.products))
    if as_json:
        click.echo(json.dumps([result(workspace, cell, best) for cell in cells], indent=1))
    elif cells:
        results_table(cells, best)
    else:
        click.echo("no cell is evaluated yet; `inspectline run` does it")


@click.command()
@click.argument("products", nargs=-1)
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Steps of training; without, teacher_steps of params.yaml or its preset.",
)
@click.pass_context
def distil(ctx: click.Context, products: tuple[str, ...], steps: int | None) -> None:
    """Distil a teacher of EfficientAD from the good images of PRODUCTS, by default of all.

    It uses the parameters algorithms.efficientad of params.yaml, and can serve every product.
    """
    from tasks.build.records import push, version
    from tasks.distil import distil_teacher
    from tasks.workspace.listener import Listener

    workspace = current_workspace(ctx)
    path = distil_teacher(workspace, list(products), Listener("distil"), steps)
    version(workspace, path)
    push(workspace, [f"{path}.dvc"])
    click.echo(
        f"set algorithms.efficientad.teacher: {path.relative_to(workspace.root)} in params.yaml"
    )


@click.command()
@click.pass_context
def sync(ctx: click.Context) -> None:
    """Write dvc.yaml again from params.yaml and the specs, for `dvc repro` after editing them."""
    from tasks.build.graph import misnamed
    from tasks.build.graph import sync as write_graph
    from tasks.spec.read import mistakes_met
    from tasks.workspace.errors import SpecError

    workspace = current_workspace(ctx)
    changed = write_graph(workspace)
    for path in changed:
        click.echo(f"wrote {path.relative_to(workspace.root)}")
    if mistakes := [*misnamed(workspace).values(), *mistakes_met()]:
        raise SpecError("; ".join(mistakes))
    if not changed:
        click.echo("every dvc.yaml is up to date")


@click.command()
@click.pass_context
def report(ctx: click.Context) -> None:
    """Write the report of the present workspace, one HTML file."""
    from tasks.report import write_report

    click.echo(write_report(current_workspace(ctx)))


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default="demo")
def demo(directory: Path) -> None:
    """Draw three sample products and run the whole line on them in their own workspace."""
    from flows.demo import run_demo

    sys.exit(0 if run_demo(directory) else 1)
