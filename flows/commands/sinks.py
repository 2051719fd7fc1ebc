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
