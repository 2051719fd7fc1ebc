"""Commands that begin, rename and remove products."""

import sys
from pathlib import Path

import click

from flows.commands import here


@click.command()
@click.argument("name", required=False)
@click.option("--from", "source", help="Folder, zip, tar or s3://... of images.")
@click.option("--like", help="The product whose spec it starts from; `auto`: the most similar.")
@click.option(
    "--table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Many products: CSV or YAML rows of name, folder, maybe like, and keys of the spec.",
)
@click.pass_context
def new(
    ctx: click.Context, name: str | None, source: str | None, like: str | None, table: Path | None
) -> None:
    """Begin product NAME: bring its images in, look at them, write its spec, say what is missing.

    Without --like the most similar product is proposed, and its spec is used if you agree.
    """
    from flows.onboarding import new_product, new_products, read_table

    workspace = here(ctx)
    if table:
        if name or source or like:
            raise click.UsageError("--table names products, folders and likes itself")
        done, failed = new_products(workspace, read_table(table), click.echo)
        click.echo(f"{len(done)} products begun or brought up to date, {len(failed)} rows failed")
        for product, reason in failed.items():
            click.echo(f"  {product}: {reason}")
        ctx.exit(1 if failed else 0)
    if not name or not source:
        raise click.UsageError("give NAME --from FOLDER, or --table FILE")

    def agree(product: str, similarity: float) -> bool:
        question = f"Most like {product} (similarity {similarity:.2f}). Start from its spec?"
        return sys.stdin.isatty() and click.confirm(question)

    begun = new_product(workspace, name, source, like, agree)
    click.echo(begun.summary)
    spec = (workspace.product(name) / "product.yaml").relative_to(workspace.root)
    click.echo(f"wrote {spec}" + (f", begun as that of {begun.like}" if begun.like else ""))
    for remark in begun.remarks:
        click.echo(f"  {remark}")
    click.echo(f"next: `inspectline run -p {name}`")


@click.command()
@click.argument("old")
@click.argument("name")
@click.pass_context
def rename(ctx: click.Context, old: str, name: str) -> None:
    """Give product OLD another NAME: images, cells, releases and champion go along."""
    from tasks.onboarding.changes import rename as change

    for line in change(here(ctx), old, name):
        click.echo(line)


@click.command()
@click.argument("product")
@click.pass_context
def remove(ctx: click.Context, product: str) -> None:
    """Take PRODUCT out of the workspace. Its files are put aside, its releases stay."""
    from tasks.onboarding.changes import remove as change

    for line in change(here(ctx), product):
        click.echo(line)
