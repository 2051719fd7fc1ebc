"""The options that say who is told results."""

from pathlib import Path
from typing import Any

import click

from tasks.workspace.errors import WorkspaceError
from tasks.workspace.home import cache_folder
from tasks.workspace.paths import Workspace, find

OPTIONS = (
    click.option(
        "--sink",
        "sinks",
        multiple=True,
        metavar="ADDRESS",
        help="mqtt[s]://HOST, http[s]://..., or a folder; repeatable. By default `line.sinks`.",
    ),
    click.option("--topic", help="Of MQTT. [default: inspectline/{product}]"),
    click.option("--confirm", is_flag=True, help="MQTT: sent once a subscriber has confirmed it."),
    click.option(
        "--outbox",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File that keeps what is not sent yet.",
    ),
)


def sinks_options(command: Any) -> Any:
    """The options that say who is told results."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def opened_sinks(workspace: Path | None, name: str, more: dict[str, Any]) -> Any:
    """What tells results: to the sinks of the options, or of params.yaml. name: of the outbox,
    where no file is given."""
    from tasks.sinks.telling import open_telling

    home = _home(workspace)
    asked = asked_sinks(more)
    known = asked or _known(home)
    kept = more["outbox"] or _kept(home) / f"outbox-{name}.sqlite"
    return open_telling(known, kept, home.root if home and not asked else Path())


def has_sinks(workspace: Path | None, more: dict[str, Any]) -> bool:
    """Whether anybody is to be told."""
    return bool(asked_sinks(more) or _known(_home(workspace)))


def asked_sinks(more: dict[str, Any]) -> list[Any]:
    """The sinks that the options name."""
    from tasks.spec.read import check
    from tasks.spec.schema import Sink

    if not more["sinks"] and (more["topic"] or more["confirm"]):
        raise click.UsageError("--topic and --confirm say how a --sink is told; give one")
    given = {"confirm": more["confirm"]} | ({"topic": more["topic"]} if more["topic"] else {})
    return [check(Sink, {"to": address} | given, Path("--sink")) for address in more["sinks"]]


def _home(workspace: Path | None) -> Workspace | None:
    """The workspace, where there is one."""
    try:
        return find(workspace)
    except WorkspaceError:
        return None


def _known(home: Workspace | None) -> Any:
    from tasks.spec.read import read_params

    return read_params(home.root).line.sinks if home else ()


def _kept(home: Workspace | None) -> Path:
    return home.scratch if home else cache_folder()


SHOWN = 20  # refused results that are listed
outbox_files = click.option(
    "--outbox",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file. By default all of the workspace, or of the user's cache without one.",
)


@click.command()
@outbox_files
@click.option("--sink", help="Only this one, by the name that is shown.")
@click.option("--retry", is_flag=True, help="Send what was refused once more.")
@click.option("--drop", is_flag=True, help="Drop what was refused, and print it.")
@click.pass_context
def sinks(
    ctx: click.Context, outbox: Path | None, sink: str | None, retry: bool, drop: bool
) -> None:
    """Show what waits for each sink and what it refused; send that once more, or drop it.

    A web service that answers 4xx refuses a result for good (but for 408, 425 and 429); what comes
    behind it is sent. A program that is running takes up --retry within seconds.
    """
    import json

    from tasks.sinks import refused

    if retry and drop:
        raise click.UsageError("give one of --retry and --drop")
    kept = _kept(_home(ctx.obj))
    files = [outbox] if outbox else sorted(kept.glob("outbox-*.sqlite"))
    if not files:
        click.echo(f"no outbox in {kept}; `serve` and `inspect` make one with their sinks")
    for file in files:
        if drop:
            for one in refused.drop(file, sink):
                click.echo(json.dumps({"sink": one.sink, "why": one.why, "result": one.body}))
            continue
        if retry:
            click.echo(f"{file}: {refused.retry(file, sink)} results are sent once more")
        for name, (waits, count) in refused.counts(file).items():
            if sink in (None, name):
                click.echo(f"{file}: {name}: {waits} wait, {count} refused")
        kept_back = refused.refused(file, sink)
        for one in kept_back[:SHOWN]:
            body = one.body
            click.echo(f"  {body['product']} {body['part']} ({body['decision']}): {one.why}")
        if len(kept_back) > SHOWN:
            click.echo(f"  and {len(kept_back) - SHOWN} more")
