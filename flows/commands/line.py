"""Commands that bring images in and turn them into champions."""

import json
import sys
from pathlib import Path

import click

from flows.commands import here


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(directory: Path) -> None:
    """Make DIRECTORY a workspace: git, DVC, params.yaml, dvc.yaml, data/. Safe to run again."""
    from tasks.init import init as make

    for line in make(directory):
        click.echo(line)


@click.command()
@click.argument("product")
@click.argument("source")
@click.pass_context
def ingest(ctx: click.Context, product: str, source: str) -> None:
    """Bring images of PRODUCT in from SOURCE and version them.

    SOURCE is a folder (MVTec AD layout, or good images only), a zip or tar, or s3://bucket/prefix.
    """
    from flows.ingest import ingest_product

    report = ingest_product(here(ctx), product, source)
    click.echo(report.summary())


@click.command()
@click.option("--product", "-p", "products", multiple=True, help="Only this one; repeatable.")
@click.option("--algorithm", "-a", "algorithms", multiple=True, help="Only this one; repeatable.")
@click.option("--verbose", is_flag=True, help="Show Prefect's own log as well.")
@click.pass_context
def run(
    ctx: click.Context, products: tuple[str, ...], algorithms: tuple[str, ...], verbose: bool
) -> None:
    """Validate, train, evaluate, gate, publish and report whatever is out of date."""
    from flows.run import run_line

    ok = run_line(here(ctx), list(products), list(algorithms) or None, verbose)
    ctx.exit(0 if ok else 1)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a cell.")
@click.pass_context
def results(ctx: click.Context, as_json: bool) -> None:
    """Show the figures of every evaluated cell."""
    from flows.tables import results_table
    from tasks.leaderboard import results as read
    from tasks.leaderboard import row

    cells = read(here(ctx))
    if as_json:
        click.echo(json.dumps([row(cell) for cell in cells], indent=1))
    elif cells:
        results_table(cells)
    else:
        click.echo("no cell is evaluated yet; `inspectline run` does it")


@click.command()
@click.argument("products", nargs=-1)
@click.pass_context
def distil(ctx: click.Context, products: tuple[str, ...]) -> None:
    """Distil a teacher of EfficientAD from the good images of PRODUCTS, by default of all.

    It is made as algorithms.efficientad in params.yaml says, and serves every product there.
    """
    from tasks.build.records import push, version
    from tasks.distil import teacher
    from tasks.workspace.listener import Listener

    workspace = here(ctx)
    path = teacher(workspace, list(products), Listener("distil"))
    version(workspace, path)
    push(workspace, [f"{path}.dvc"])
    click.echo(
        f"set algorithms.efficientad.teacher: {path.relative_to(workspace.root)} in params.yaml"
    )


@click.command()
@click.pass_context
def sync(ctx: click.Context) -> None:
    """Write dvc.yaml anew from params.yaml and the specs, for `dvc repro` after editing them."""
    from tasks.build.graph import sync as write

    workspace = here(ctx)
    changed = write(workspace)
    for path in changed:
        click.echo(f"wrote {path.relative_to(workspace.root)}")
    if not changed:
        click.echo("every dvc.yaml is up to date")


@click.command()
@click.pass_context
def report(ctx: click.Context) -> None:
    """Write the report of the workspace as it is now, one HTML file."""
    from tasks.report import report as write

    click.echo(write(here(ctx)))


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default="demo")
def demo(directory: Path) -> None:
    """Draw three sample products and run the whole line on them in a workspace of their own."""
    from flows.demo import run_demo

    sys.exit(0 if run_demo(directory) else 1)
