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
labels_option = click.option(
    "--labels",
    multiple=True,
    metavar="LABEL=FOLDER,...",
    help="What the images in FOLDER are: good, a type of defect, mask, or skip; repeatable.",
)


def current_workspace(ctx: click.Context) -> Workspace:
    """The workspace that a command works on."""
    asked: Path | None = ctx.obj
    return find(asked)
