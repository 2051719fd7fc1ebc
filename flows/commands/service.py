"""Commands for production: the watcher, the HTTP service, the drift check."""

import json
import os
import time
from pathlib import Path
from typing import Any

import click

from flows.commands import (
    SECONDS,
    SOME,
    WHOLE,
    current_workspace,
    device_option,
    host_option,
    labels_option,
    log_option,
    port_option,
    store_option,
)
from flows.commands.sinks import has_sinks, opened_sinks, sinks_options

TOKEN = "INSPECTLINE_TOKEN"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@click.command()
@click.argument("products", nargs=-1, required=True)
@host_option
@port_option(8080)
@device_option
@click.option("--upload-mb", type=SOME, default=20.0, show_default=True, help="Largest upload.")
@click.option("--megapixels", type=SOME, default=50.0, show_default=True, help="Largest image.")
@click.option(
    "--at-work",
    type=SOME,
    default=64.0,
    show_default=True,
    help="Megapixels at work at once, some 40 MB of memory for each; more wait.",
)
@click.option(
    "--heat-side", type=WHOLE, default=1024, show_default=True, help="Longer side of a heat map."
)
@click.option(
    "--batch", type=WHOLE, default=8, show_default=True, help="Images scored together at most."
)
@click.option(
    "--waiting", type=WHOLE, default=64, show_default=True, help="Requests in progress at most."
)
@click.option(
    "--waiting-mb", type=SOME, default=256.0, show_default=True, help="Their uploads at most."
)
@click.option(
    "--every",
    type=SOME,
    default=10.0,
    show_default=True,
    help="Seconds between checks for a new champion.",
)
@sinks_options
@store_option
@log_option
@click.pass_context
def serve(
    ctx: click.Context,
    products: tuple[str, ...],
    host: str,
    port: int,
    device: str,
    every: float,
    store: str | None,
    log: Path | None,
    **more: Any,
) -> None:
    """Inspect over HTTP with the champions of PRODUCTS.

    POST an image as the body to /products/PRODUCT/inspect; ?heat_map=true adds the map. A new
    champion is loaded while the service runs. If INSPECTLINE_TOKEN is set, clients send it as
    'Authorization: Bearer TOKEN'.

    PRODUCT is a name, or s3://bucket/prefix/PRODUCT of a store.
    """
    from tasks.monitoring.traces import open_traces
    from tasks.web.listening import serve_app
    from tasks.web.serving.app import create_app
    from tasks.web.serving.upload import Settings

    served = [_load(ctx.obj, product, store, device) for product in products]
    token = os.environ.get(TOKEN, "")
    if not token and host not in LOOPBACK:
        click.echo(f"warning: anybody who can reach {host} may use this; set {TOKEN}", err=True)
    warn_of_token(token)
    told = {name: more.pop(name) for name in ("sinks", "topic", "confirm", "outbox")}
    telling = opened_sinks(ctx.obj, "serve", told) if has_sinks(ctx.obj, told) else None
    traces = open_traces(lambda text: click.echo(text, err=True))
    app = create_app(served, Settings(**more, log=log), token, every, telling, traces)
    serve_app(
        app, host, port, lambda url: click.echo(f"serving at {url}; Ctrl-C ends it", err=True)
    )


def _load(workspace: Path | None, product: str, address: str | None, device: str) -> Any:
    from tasks.models.served import Served
    from tasks.store.opening import source_of

    store, name, cache = source_of(workspace, product, address)
    served = Served(store, name, cache, device)
    now = served.champion
    note = f" (the store's champion cannot be had: {served.trouble})" if served.trouble else ""
    click.echo(f"{name}: {now.algorithm} {now.release}{note}", err=True)
    return served


SHORT = 16  # characters of a token, below which it can be guessed


def warn_of_token(token: str) -> None:
    """Tell of a token that others may find by trying."""
    if token and len(token) < SHORT:
        click.echo(
            f"warning: {TOKEN} has {len(token)} characters and can be guessed; "
            "`openssl rand -hex 24` makes a good one",
            err=True,
        )


@click.command()
@click.argument("product")
@log_option
@click.option(
    "--days", type=click.IntRange(1, 36500), help="Days of the log; by default those of the spec."
)
@click.option("--json", "as_json", is_flag=True, help="JSON in place of a table.")
@click.option(
    "--announce", is_flag=True, help="Tell the Prefect server, notify people, start a run."
)
@click.pass_context
def drift(
    ctx: click.Context,
    product: str,
    log: Path | None,
    days: int | None,
    as_json: bool,
    announce: bool,
) -> None:
    """Compare logged predictions of PRODUCT's champion with the data of its release.

    It compares scores of passed parts, the rate of rejects, brightness and sharpness, and exits
    with 1 if one has drifted. The limits are in the spec, under `drift`. With --announce it tells
    the Prefect server that PREFECT_API_URL names once, and a run starts if there are new images.
    """
    from dataclasses import asdict

    from flows.tables import drift_table
    from tasks.drift import find_drift

    if log is None:
        raise click.UsageError("give the folder of the log: --log DIR, or INSPECTLINE_LOG")
    findings = find_drift(ctx.obj, product, log, days)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in findings], indent=1))
    else:
        drift_table(findings)
    if announce:
        _announce(current_workspace(ctx), product, findings)
    ctx.exit(1 if any(one.drifted for one in findings) else 0)


def _announce(workspace: Any, product: str, findings: list[Any]) -> None:
    from flows.prefect_server.start import require_server

    workspace.require(product)
    require_server()
    from flows.drift_alarm import report_drift

    for text in report_drift(workspace, product, findings):
        click.echo(text, err=True)


@click.command()
@click.argument("pairs", nargs=-1, required=True, metavar="PRODUCT=SOURCE...")
@click.option(
    "--settle",
    type=SECONDS,
    default=10.0,
    show_default=True,
    help="Seconds without a change: the file is complete.",
)
@click.option(
    "--gather",
    type=SECONDS,
    default=30.0,
    show_default=True,
    help="Seconds without a new file: ingest.",
)
@click.option(
    "--at-most",
    type=SECONDS,
    default=600.0,
    show_default=True,
    help="Longest time an image waits, seconds.",
)
@click.option("--every", type=SOME, default=2.0, show_default=True, help="Seconds between checks.")
@click.option("--queue", metavar="URL", help="SQS queue that gets the events of the buckets.")
@click.option("--once", is_flag=True, help="End when all present images are done.")
@click.option("--announce", is_flag=True, help="Let the Prefect server start the runs.")
@labels_option
@click.pass_context
def watch(
    ctx: click.Context,
    pairs: tuple[str, ...],
    settle: float,
    gather: float,
    at_most: float,
    every: float,
    queue: str | None,
    once: bool,
    announce: bool,
    labels: tuple[str, ...],
) -> None:
    """Ingest new images in SOURCE for PRODUCT and run the line for it, again and again.

    SOURCE is a folder or s3://bucket/prefix, as in `ingest`; nothing in it is changed. Images that
    arrive together become one run; images that arrive during a run wait for the next. With
    --announce the server that PREFECT_API_URL names starts the runs of `deploy`. A bucket is listed
    at each check, or, with --queue, after an event.
    """
    from flows.watch import Watcher, start_announced, start_run, watched_sources
    from tasks.arrival.labels import read_labels

    workspace = current_workspace(ctx)
    said = read_labels(labels)
    watched = watched_sources(workspace, pairs, (settle, gather, at_most), queue, said)
    if announce:
        from flows.prefect_server.start import require_server

        require_server()
    start = (start_announced if announce else start_run)(workspace)
    watcher = Watcher(workspace, watched, start, lambda text: click.echo(text, err=True))
    try:
        while True:
            watcher.step()
            if once and (watcher.idle or watcher.stuck):
                ctx.exit(0 if watcher.idle else 1)
            time.sleep(every)
    finally:
        watcher.close()
