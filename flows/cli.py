"""The command line. Heavy packages are imported by the command that needs them."""

import errno
import json
import sys
from pathlib import Path

import click

from tasks.errors import LineError
from tasks.workspace import Workspace, find


class Commands(click.Group):
    """Lists commands in the order of a day's work, and prints our errors without a stack trace."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.ClickException("stopped; the same command again goes on") from None
        except Exception as error:
            if (text := expected(error)) is None:
                raise
            raise click.ClickException(text) from error


def expected(error: Exception) -> str | None:
    """What to tell of an error of ours or of the machine's; None for one of the program's."""
    # ad_models imports torch: where no command imported it, none of its errors came up
    models = sys.modules.get("ad_models.errors")
    if isinstance(error, LineError) or (models and isinstance(error, models.AnomalyError)):
        return str(error)
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        where = f"{error.filename}: " if error.filename else ""
        remedy = "; make room, then run again" if error.errno == errno.ENOSPC else ""
        return f"{where}{error.strerror or error}{remedy}"
    return None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace",
    "-w",
    type=click.Path(path_type=Path, file_okay=False),
    help="The workspace; by default the one around the current folder.",
)
@click.version_option(package_name="inspectline")
@click.pass_context
def main(ctx: click.Context, workspace: Path | None) -> None:
    """From folders of product images to promoted, published anomaly detectors."""
    ctx.obj = workspace


def here(ctx: click.Context) -> Workspace:
    """The workspace that a command works on."""
    return find(ctx.obj)


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
def init(directory: Path) -> None:
    """Make DIRECTORY a workspace: git, DVC, params.yaml, dvc.yaml, data/. Safe to run again."""
    from tasks.init import init as make

    for line in make(directory):
        click.echo(line)


@main.command()
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


@main.command()
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


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a cell.")
@click.pass_context
def results(ctx: click.Context, as_json: bool) -> None:
    """Show the figures of every evaluated cell."""
    from flows.tables import results_table
    from tasks.leaderboard import COLUMNS
    from tasks.leaderboard import results as read

    rows = read(here(ctx))
    if as_json:
        click.echo(json.dumps([{name: row[name] for name in COLUMNS} for row in rows], indent=1))
    elif rows:
        results_table(rows)
    else:
        click.echo("no cell is evaluated yet; `inspectline run` does it")


@main.command()
@click.argument("product")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object an image.")
@click.option(
    "--maps", type=click.Path(path_type=Path, file_okay=False), help="Write heat maps here."
)
@click.option("--release", help="Another release than the champion.")
@click.option("--device", default="auto", show_default=True)
@click.pass_context
def predict(
    ctx: click.Context,
    product: str,
    images: tuple[Path, ...],
    as_json: bool,
    maps: Path | None,
    release: str | None,
    device: str,
) -> None:
    """Inspect IMAGES (files or folders) with the published champion of PRODUCT.

    PRODUCT is a name, a release folder, or s3://bucket/prefix/PRODUCT of a store.
    """
    from flows.tables import prediction_line
    from tasks.predict import expand, locate, predict_images

    folder = locate(ctx.obj, product, release)
    for found in predict_images(folder, expand(images), maps, device):
        click.echo(json.dumps(found) if as_json else prediction_line(found))


@main.command()
@click.argument("product")
@click.option("--json", "as_json", is_flag=True)
@click.pass_context
def releases(ctx: click.Context, product: str, as_json: bool) -> None:
    """List the published releases of PRODUCT, oldest first; * is the champion."""
    from flows.tables import releases_table
    from tasks.gate import store_of
    from tasks.storage.publish import releases as published

    workspace = here(ctx)
    rows = published(store_of(workspace), product)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    elif rows:
        releases_table(rows)
    else:
        workspace.require(product)
        click.echo(
            f"{product} has no release yet; `inspectline run` publishes what passes the gate"
        )


@main.command()
@click.argument("product")
@click.argument("release")
@click.option("--reason", default="by hand", show_default=True, help="Goes into the record.")
@click.pass_context
def promote(ctx: click.Context, product: str, release: str, reason: str) -> None:
    """Make a published RELEASE the champion of PRODUCT."""
    from tasks.gate import store_of
    from tasks.storage.publish import promote as change

    pointer = change(store_of(here(ctx)), product, release, reason=reason, by=operator())
    click.echo(f"champion of {product}: {pointer['algorithm']} {pointer['release']}")


@main.command()
@click.argument("product")
@click.option("--reason", default="by hand", show_default=True, help="Goes into the record.")
@click.pass_context
def rollback(ctx: click.Context, product: str, reason: str) -> None:
    """Make the champion before the present one champion of PRODUCT again."""
    from tasks.gate import store_of
    from tasks.storage.publish import rollback as change

    pointer = change(store_of(here(ctx)), product, reason=reason, by=operator())
    click.echo(f"champion of {product}: {pointer['algorithm']} {pointer['release']}")


@main.command()
@click.argument("products", nargs=-1)
@click.pass_context
def distil(ctx: click.Context, products: tuple[str, ...]) -> None:
    """Distil a teacher of EfficientAD from the good images of PRODUCTS, by default of all.

    It is made as algorithms.efficientad in params.yaml says, and serves every product there.
    """
    from tasks.command import Listener
    from tasks.teacher import teacher
    from tasks.version import push, version

    workspace = here(ctx)
    path = teacher(workspace, list(products), Listener("distil"))
    version(workspace, path)
    push(workspace, [f"{path}.dvc"])
    click.echo(
        f"set algorithms.efficientad.teacher: {path.relative_to(workspace.root)} in params.yaml"
    )


@main.command()
@click.pass_context
def sync(ctx: click.Context) -> None:
    """Write dvc.yaml anew from params.yaml and the specs, for `dvc repro` after editing them."""
    from tasks.stages import sync as write

    workspace = here(ctx)
    changed = write(workspace)
    for path in changed:
        click.echo(f"wrote {path.relative_to(workspace.root)}")
    if not changed:
        click.echo("every dvc.yaml is up to date")


@main.command()
@click.pass_context
def report(ctx: click.Context) -> None:
    """Write the report of the workspace as it is now, one HTML file."""
    from flows.run import write_run_report

    click.echo(write_run_report(here(ctx)))


@main.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default="demo")
def demo(directory: Path) -> None:
    """Draw three sample products and run the whole line on them in a workspace of their own."""
    from flows.demo import run_demo

    sys.exit(0 if run_demo(directory) else 1)


def operator() -> str:
    """Who gives a command, for the record."""
    import getpass

    return getpass.getuser()


if __name__ == "__main__":
    main()
