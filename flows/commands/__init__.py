"""The commands, by whom they serve. Heavy packages are imported by the command that needs them."""

from pathlib import Path

import click

from tasks.workspace import Workspace, find


def here(ctx: click.Context) -> Workspace:
    """The workspace that a command works on."""
    asked: Path | None = ctx.obj
    return find(asked)
