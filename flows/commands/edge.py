"""Commands for the PC of a line: bring a release there, and check it."""

from pathlib import Path
from typing import Any

import click

from flows.commands import store_option


@click.command()
@click.argument("product")
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder, which a machine without a network then has as its --store.",
)
@click.option("--release", help="A release other than the champion.")
@store_option
@click.pass_context
def pull(
    ctx: click.Context, product: str, to: Path, release: str | None, store: str | None
) -> None:
    """Bring a release of PRODUCT, its golden images and checksums into a folder.

    Take the folder to a machine without a network: there `selftest DIR` checks it, and `predict`,
    `serve` and `inspect` take it as --store DIR. Pulled again, it moves on to the new champion.
    """
    from tasks.pull import pull as pull_release
    from tasks.pull import the_champion
    from tasks.store.opening import source_of
    from tasks.workspace.git import operator

    source, name, _ = source_of(ctx.obj, product, store)
    chosen = release or the_champion(source, name)
    if store is None and not product.startswith("s3://"):
        _keep_golden(ctx, source, name, chosen)
    pulled = pull_release(source, name, chosen, to, operator())
    now = pulled.manifest
    size = sum(entry.bytes for entry in now.files.values()) / 1e6
    click.echo(f"{to}: {name} {now.algorithm} {now.release}, {size:.0f} MB")
    if not pulled.golden:
        click.echo("warning: it has no golden images; `selftest` checks only the files", err=True)


def _keep_golden(ctx: click.Context, store: Any, product: str, release: str) -> None:
    """A release of before golden images were kept gets them where its workspace has the images."""
    from tasks.pull import has_golden
    from tasks.spec.read import read_product
    from tasks.workspace.paths import find

    workspace = find(ctx.obj)
    if has_golden(store, product, release) or product not in workspace.products:
        return
    from tasks.promotion.golden import keep_golden

    keep_golden(store, workspace, product, release, read_product(workspace.root, product))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N.")
@click.pass_context
def selftest(ctx: click.Context, folder: Path, device: str) -> None:
    """Check a pulled FOLDER on this machine: its files, and what its releases decide.

    Each release inspects its golden images; scores and decisions have to be those with which it
    was published. The exit status is 1 where something differs.
    """
    from tasks.pull import wrong_files
    from tasks.selftest import selftest as try_releases

    wrong = wrong_files(folder)
    for text in wrong:
        click.echo(f"Error: {text}", err=True)
    if wrong:
        ctx.exit(1)
    failed = False
    for found in try_releases(folder, device):
        failed |= bool(found.off)
        said = f"{len(found.off)} of {found.images} golden images are judged otherwise"
        if not found.off:
            said = f"{found.images} golden images judged as published"
        click.echo(f"{found.product} {found.release}: {said}")
        for text in found.off:
            click.echo(f"  {text}", err=True)
    ctx.exit(1 if failed else 0)
