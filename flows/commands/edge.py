"""Commands for the PC of a line: bring a release there, check it, and inspect what comes."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from flows.commands import (
    SECONDS,
    SOME,
    device_option,
    log_option,
    part_finder,
    part_option,
    release_option,
    store_option,
)
from flows.commands.sinks import opened_sinks, sinks_options


@click.command()
@click.argument("product")
@click.option(
    "--to",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder, which a machine without a network then has as its --store.",
)
@release_option
@store_option
@click.pass_context
def pull(
    ctx: click.Context, product: str, to: Path, release: str | None, store: str | None
) -> None:
    """Bring a release of PRODUCT, its golden images and checksums into a folder.

    Take the folder to a machine without a network: there `selftest DIR` checks it, and `predict`,
    `serve` and `inspect` take it as --store DIR. Pulled again, it moves on to the new champion.
    """
    from tasks.delivery.pull import pull as pull_release
    from tasks.store.champion import champion_id
    from tasks.store.opening import source_of
    from tasks.workspace.git import operator

    source, name, _ = source_of(ctx.obj, product, store)
    chosen = release or champion_id(source, name)
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
    from tasks.delivery.pull import has_golden
    from tasks.spec.read import read_product
    from tasks.workspace.paths import find

    workspace = find(ctx.obj)
    if has_golden(store, product, release) or product not in workspace.products:
        return
    from tasks.promotion.golden import keep_golden

    keep_golden(store, workspace, product, release, read_product(workspace.root, product))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@device_option
@click.pass_context
def selftest(ctx: click.Context, folder: Path, device: str) -> None:
    """Check a pulled FOLDER on this machine: its files, and what its releases decide.

    Each release inspects its golden images; scores and decisions have to be those with which it
    was published. The exit status is 1 where something differs, or where a release is not signed
    by a key that `line.trust` or INSPECTLINE_TRUST names.
    """
    from tasks.delivery.pull import wrong_files
    from tasks.delivery.selftest import selftest as try_releases
    from tasks.store.opening import root_of
    from tasks.store.seal import seal_of

    wrong = wrong_files(folder)
    for text in wrong:
        click.echo(f"Error: {text}", err=True)
    if wrong:
        ctx.exit(1)
    failed = False
    for found in try_releases(folder, device, seal_of(root_of(ctx.obj))):
        failed |= bool(found.off)
        click.echo(f"{found.product} {found.release}: {_outcome(found)}")
        for text in found.off:
            click.echo(f"  {text}", err=True)
    ctx.exit(1 if failed else 0)


def _outcome(found: Any) -> str:
    """What a self-test found, in words."""
    if not found.images:
        return "its files are whole; it has no golden images to judge"
    if found.off:
        return f"{len(found.off)} verdicts on {found.images} golden images are other ones"
    return f"{found.images} golden images judged as published"


LOOK = 10.0  # seconds between looks for a new champion
LATER = 75  # EX_TEMPFAIL: results wait for somebody who is away
UNSENT = 30.0  # seconds without any progress, after which --once waits no longer


@click.command()
@click.argument("product")
@click.argument("folder", required=False, type=click.Path(file_okay=False))
@click.option("--camera", metavar="URL", help="In place of FOLDER: rtsp://..., a number, a video.")
@sinks_options
@part_option
@release_option
@device_option
@click.option(
    "--settle", type=SECONDS, default=1.0, show_default=True, help="Seconds without a change."
)
@click.option("--every", type=SOME, default=0.5, show_default=True, help="Seconds between looks.")
@click.option("--once", is_flag=True, help="End when all is inspected and sent.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image.")
@store_option
@log_option
@click.pass_context
def inspect(ctx: click.Context, product: str, folder: str | None, **more: Any) -> None:
    """Inspect each image that comes into FOLDER, and tell the sinks.

    A file is taken once it has not changed for --settle seconds, and once only, also after a kill.
    Results wait on disk while a sink is away. A new champion is taken up by itself.
    """
    if (folder is None) == (more["camera"] is None):
        raise click.UsageError("give a FOLDER, or --camera URL")
    more["finds"] = part_finder(ctx.obj, more["pattern"])
    with _inspecting(ctx, product, more) as inspecting:
        if folder is not None:
            code = _inspect_folder(inspecting, folder, more)
        else:
            code = _inspect_camera(inspecting, more)
        ctx.exit(_until_sent(inspecting.telling.deliveries) or code)


@contextmanager
def _inspecting(ctx: click.Context, product: str, more: dict[str, Any]) -> Iterator[Any]:
    """What inspects and tells, until the block ends."""
    from tasks.inspect_source import Inspecting
    from tasks.models.served import ChampionWatch, Served
    from tasks.monitoring.log import PredictionLog
    from tasks.monitoring.traces import open_traces
    from tasks.store.opening import source_of

    traces = open_traces(lambda text: click.echo(text, err=True))
    telling = opened_sinks(ctx.obj, f"inspect-{Path(product).name}", more)
    watch = None
    try:
        source = source_of(ctx.obj, product, more["store"])
        served = Served(*source, more["device"], more["release"])
        now = served.champion
        click.echo(f"{served.product}: {now.algorithm} {now.release}", err=True)
        watch = ChampionWatch([served], LOOK)
        watch.start()
        telling.start()
        records = PredictionLog(more["log"], served.product) if more["log"] else None
        yield Inspecting(served, telling, records, traces)
    finally:
        if watch:
            watch.stop()
        telling.close()
        traces.close()


def _inspect_folder(inspecting: Any, folder: str, more: dict[str, Any]) -> int:
    """For ever, or once; the exit code: 1 where a file could not be read."""
    from tasks.inspect_source import FolderLoop
    from tasks.workspace.errors import LineError

    loop = FolderLoop(inspecting, folder, more["settle"], more["finds"])
    trouble = ""
    while True:
        try:
            for result in loop.step():
                _tell(result, more["as_json"])
            trouble = ""
        except (LineError, OSError) as error:  # a folder that is not mounted just now, a full disk
            if more["once"]:
                raise
            if str(error) != trouble:
                click.echo(f"{inspecting.served.product}: {error}", err=True)
            trouble = str(error)
        if more["once"] and loop.idle:
            return int(bool(loop.unread))
        time.sleep(more["every"])


def _inspect_camera(inspecting: Any, more: dict[str, Any]) -> int:
    """For ever, or to the end of a video; the exit code."""
    from tasks.inspect_source import inspect_camera

    def say(text: str) -> None:
        click.echo(text, err=True)

    over = threading.Event()
    for result in inspect_camera(inspecting, more["camera"], more["every"], over, say):
        _tell(result, more["as_json"])
    return 0


def _tell(result: Any, as_json: bool) -> None:
    import json

    from flows.tables import result_line

    click.echo(json.dumps(result.dump()) if as_json else result_line(result))


def _until_sent(deliveries: Any) -> int:
    """Wait until each sink has acknowledged; the exit code."""
    seen, since = -1, time.monotonic()
    while left := sum(deliveries.waiting.values()):
        if left != seen:
            seen, since = left, time.monotonic()
        if time.monotonic() - since > UNSENT:
            for name, count in deliveries.waiting.items():
                click.echo(f"{count} results wait for {name} in {deliveries.outbox.path}", err=True)
            return LATER
        time.sleep(0.05)
    for name, count in deliveries.refused.items():
        if count:
            click.echo(f"{count} results were refused by {name}: `inspectline sinks`", err=True)
    return int(any(deliveries.refused.values()))
