"""Commands that create, fetch, rename and remove products."""

import sys
from pathlib import Path

import click

from flows.commands import annotations_option, current_workspace, labels_option


@click.command()
@click.argument("name", required=False)
@click.option("--from", "source", help="Folder, zip, tar or s3://... of images.")
@click.option("--like", help="The product whose spec it starts from; `auto`: the most similar.")
@click.option(
    "--table",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Many products: CSV or YAML rows of name, folder, maybe like, labels (good=a,b;crack=c), "
    "annotations, and keys of the spec.",
)
@labels_option
@annotations_option
@click.pass_context
def new(
    ctx: click.Context,
    name: str | None,
    source: str | None,
    like: str | None,
    table: Path | None,
    labels: tuple[str, ...],
    annotations: Path | None,
) -> None:
    """Create product NAME: copy its images, read them, write its spec, and report what is missing.

    Without --like the most similar product is proposed; its spec is used if you agree.
    """
    from flows.running.progress import telling

    with telling("starting", first=1.0):
        from flows.new import new_product, new_products, read_table
        from tasks.arrival.labels import read_labels

    workspace = current_workspace(ctx)
    if table:
        if name or source or like or labels or annotations:
            raise click.UsageError("--table already says all that is said of a product")
        done, failed = new_products(workspace, read_table(table), click.echo)
        click.echo(f"{len(done)} products created or updated, {len(failed)} rows failed")
        for product, reason in failed.items():
            click.echo(f"  {product}: {reason}")
        ctx.exit(1 if failed else 0)
    if not name or not source:
        raise click.UsageError("give NAME --from FOLDER, or --table FILE")

    def agree(product: str, similarity: float) -> bool:
        question = f"Most like {product} (similarity {similarity:.2f}). Start from its spec?"
        return sys.stdin.isatty() and click.confirm(question)

    begun = new_product(workspace, name, source, like, agree, read_labels(labels, annotations))
    click.echo(begun.summary)
    spec = (workspace.product(name) / "product.yaml").relative_to(workspace.root)
    click.echo(f"wrote {spec}" + (f", started from that of {begun.like}" if begun.like else ""))
    for remark in begun.remarks:
        click.echo(f"  {remark}")
    run = f"`inspectline run -p {name}`"
    click.echo(f"next: mend what is listed, then {run}" if begun.failed else f"next: {run}")


@click.command()
@click.argument("name")
@click.option("--category", "-c", "categories", multiple=True, help="Only this one; repeatable.")
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    default="public",
    show_default=True,
    help="The folder of public sets.",
)
@click.option("--accept-licence", is_flag=True, help="Agree to the licence without being asked.")
@click.option(
    "--archive",
    type=click.Path(path_type=Path, exists=True),
    help="The archive or folder, already on this machine.",
)
@click.option("--url", help="A mirror to download from, instead of the publisher.")
@click.option("--sha256", help="Checksum of the archive, if it differs from the known one.")
def fetch(
    name: str,
    categories: tuple[str, ...],
    to: Path,
    accept_licence: bool,
    archive: Path | None,
    url: str | None,
    sha256: str | None,
) -> None:
    """Download a public data set: mvtec-ad, visa, mpdd, btad, kolektor-sdd2 or magnetic-tile.

    It is checked and laid out as products, with a table for `inspectline new`.
    """
    from flows.fetch import fetch_set

    def agreed(notice: str) -> bool:
        click.echo(notice)
        return accept_licence or (sys.stdin.isatty() and click.confirm("Do you agree?"))

    for line in fetch_set(name, list(categories), to, agreed, url, archive, sha256):
        click.echo(line)


@click.command()
@click.argument("old")
@click.argument("name")
@click.pass_context
def rename(ctx: click.Context, old: str, name: str) -> None:
    """Rename product OLD to NAME, with its images, cells, releases and champion."""
    from tasks.products.rename import rename_product

    for line in rename_product(current_workspace(ctx), old, name):
        click.echo(line)


@click.command()
@click.argument("product")
@click.pass_context
def remove(ctx: click.Context, product: str) -> None:
    """Remove PRODUCT from the workspace. Its files are kept in another folder, its releases
    stay."""
    from tasks.products.rename import remove_product

    for line in remove_product(current_workspace(ctx), product):
        click.echo(line)


@click.command()
@click.argument("product")
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="The file to write, FILE.json.",
)
@click.option(
    "--polygons", is_flag=True, help="Outlines instead of runs, but for regions with holes."
)
@click.pass_context
def annotations(ctx: click.Context, product: str, to: Path, polygons: bool) -> None:
    """Write labels and masks of PRODUCT as one file of COCO.

    `inspectline ingest --annotations` reads it again: the same masks, bit for bit.
    """
    from tasks.products.annotations import write_annotations

    workspace = current_workspace(ctx)
    workspace.require(product)
    for line in write_annotations(workspace, product, to, polygons):
        click.echo(line)
