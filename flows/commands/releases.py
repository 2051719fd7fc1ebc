"""Commands for releases: inspect images, list releases, change the champion."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from flows.commands import (
    current_workspace,
    device_option,
    log_option,
    part_finder,
    part_option,
    release_option,
    store_option,
)
from tasks.workspace.paths import Workspace


@click.command()
@click.argument("product")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image.")
@click.option(
    "--maps", type=click.Path(path_type=Path, file_okay=False), help="Write heat maps here."
)
@release_option
@device_option
@part_option
@store_option
@log_option
@click.pass_context
def predict(
    ctx: click.Context,
    product: str,
    images: tuple[Path, ...],
    as_json: bool,
    maps: Path | None,
    release: str | None,
    device: str,
    pattern: str | None,
    store: str | None,
    log: Path | None,
) -> None:
    """Inspect IMAGES (files or folders) with the published champion of PRODUCT.

    Unreadable files are reported, the others are inspected, and the exit status is 1; also where a
    log or a heat map could not be written. PRODUCT is a name, a release folder, or
    s3://bucket/prefix/PRODUCT of a store.
    """
    from flows.tables import prediction_line
    from tasks.arrival.safe_paths import printable
    from tasks.monitoring.log import PredictionLog
    from tasks.predict import image_paths, predict_images
    from tasks.store.opening import locate, release_of

    folder = locate(ctx.obj, product, release, store)
    manifest = release_of(folder)
    name = manifest.product if manifest else "unpublished"
    finds = part_finder(ctx.obj, pattern)
    records = PredictionLog(log, name) if log else None
    unusable = 0
    for found in predict_images(folder, image_paths(images), maps, device, records, finds):
        unusable += "error" in found or "warning" in found
        if as_json or "error" not in found:
            click.echo(json.dumps(found) if as_json else prediction_line(found))
        else:
            click.echo(f"Error: {printable(found['error'])}", err=True)
        if "warning" in found:
            text = printable(f"{found['image']}: {found['warning']}")
            click.echo(f"Warning: {text}", err=True)
    ctx.exit(1 if unusable else 0)


@click.command()
@click.argument("product")
@click.option("--json", "as_json", is_flag=True, help="JSON in place of a table.")
@store_option
@click.pass_context
def releases(ctx: click.Context, product: str, as_json: bool, store: str | None) -> None:
    """List the published releases of PRODUCT, oldest first; * is the champion."""
    from flows.tables import releases_table
    from tasks.store.opening import store_at, store_of
    from tasks.store.releases import releases as read_releases

    opened = store_at(store) if store else store_of(current_workspace(ctx))
    rows = read_releases(opened, product)
    if as_json:
        click.echo(json.dumps([one.row() for one in rows], indent=1))
    elif rows:
        releases_table(rows)
    else:
        if not store:
            current_workspace(ctx).require(product)
        click.echo(
            f"{product} has no release yet; `inspectline run` publishes what passes the gate"
        )


@click.command()
@click.argument("product")
@click.option(
    "--as", "form", required=True, type=click.Choice(["openvino", "triton"]), help="Its form."
)
@click.option(
    "--to", required=True, type=click.Path(path_type=Path, file_okay=False), help="Its folder."
)
@release_option
@click.pass_context
def export(ctx: click.Context, product: str, form: Any, to: Path, release: str | None) -> None:
    """Write the champion of PRODUCT for others to run: pixels in, verdict out.

    openvino: OpenVINO's IR. triton: a model repository for the Triton Inference Server and KServe;
    another release becomes the next version. What is written has to decide the golden images as the
    evaluation did.
    """
    from tasks.delivery.export import export as write_export

    click.echo(f"wrote {write_export(current_workspace(ctx), product, form, to, release)}")


@click.command()
@click.argument("product")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First day, in UTC.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Last day, in UTC.")
@click.option(
    "--to", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A new ZIP file."
)
@log_option
@click.pass_context
def audit(
    ctx: click.Context,
    product: str,
    since: datetime | None,
    until: datetime | None,
    to: Path,
    log: Path | None,
) -> None:
    """Pack what happened to PRODUCT for an auditor: an index to read, records, releases, hashes.

    Who changed what, when and why; releases with the hashes of their files; corrected labels; with
    --log what was inspected, and how it differed from what the release was made from. The same
    facts give the same file.
    """
    from tasks.audit import audit as write_audit

    first, last = (one.date() if one else None for one in (since, until))
    click.echo(f"wrote {write_audit(current_workspace(ctx), product, to, first, last, log)}")


@click.command()
@click.argument("product")
@click.argument("release", required=False)
@click.pass_context
def sign(ctx: click.Context, product: str, release: str | None) -> None:
    """Sign RELEASE of PRODUCT, or all that our key has not signed, as they are in the store.

    What a gate publishes is signed by itself. This is for releases of before `line.signing`; who
    gives it vouches for what the store holds.
    """
    from tasks.store.opening import store_of
    from tasks.store.releases import releases as read_releases
    from tasks.store.sign_release import sign_release
    from tasks.workspace.scratch import scratch_folder

    workspace = current_workspace(ctx)
    store = store_of(workspace)
    chosen = [release] if release else [one.id for one in read_releases(store, product)]
    with scratch_folder(workspace) as scratch:
        for one in chosen:
            done = sign_release(store, product, one, scratch)
            click.echo(f"{product} {one}: {'signed' if done else 'was signed before'}")
    if not chosen:
        click.echo(f"{product} has no release to sign")


@click.command()
@click.argument("product")
@click.argument("release")
@click.option("--reason", default="by hand", show_default=True, help="It is recorded.")
@click.pass_context
def promote(ctx: click.Context, product: str, release: str, reason: str) -> None:
    """Make a published RELEASE the champion of PRODUCT."""
    from tasks.store.champion import promote as promote_release
    from tasks.store.opening import store_of
    from tasks.workspace.git import operator

    workspace = current_workspace(ctx)
    pointer = promote_release(store_of(workspace), product, release, reason=reason, by=operator())
    click.echo(f"champion of {product}: {pointer.algorithm} {pointer.release}")
    tell_mlflow(workspace, product)


@click.command()
@click.argument("product")
@click.option("--reason", default="by hand", show_default=True, help="It is recorded.")
@click.pass_context
def rollback(ctx: click.Context, product: str, reason: str) -> None:
    """Make the previous champion of PRODUCT the champion again."""
    from tasks.store.champion import rollback as roll_back
    from tasks.store.opening import store_of
    from tasks.workspace.git import operator

    workspace = current_workspace(ctx)
    pointer = roll_back(store_of(workspace), product, reason=reason, by=operator())
    click.echo(f"champion of {product}: {pointer.algorithm} {pointer.release}")
    tell_mlflow(workspace, product)


def tell_mlflow(workspace: Workspace, product: str) -> None:
    """Tell a server, where one is named, of another champion."""
    from tasks.mirror.follow import follow

    if product in workspace.products and (said := follow(workspace, [product])):
        click.echo(said, err=True)
