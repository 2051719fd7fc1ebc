"""The commands, in groups. Each command imports the heavy packages that it needs."""

from pathlib import Path

import click

from tasks.workspace.paths import Workspace, find

log_option = click.option(
    "--log",
    envvar="INSPECTLINE_LOG",
    type=click.Path(path_type=Path, file_okay=False),
    help="Log predictions in this folder; `drift` reads them. Also as INSPECTLINE_LOG.",
)


def current_workspace(ctx: click.Context) -> Workspace:
    """The workspace that a command works on."""
    asked: Path | None = ctx.obj
    return find(asked)
