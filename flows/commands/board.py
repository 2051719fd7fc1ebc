"""The board: the workspace in a browser."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from flows.commands import current_workspace, host_option, log_option, port_option
from flows.commands.service import LOOPBACK, TOKEN, warn_of_token
from tasks.workspace.paths import Workspace


@click.command()
@host_option
@port_option(8090)
@click.option(
    "--name", "names", multiple=True, help="Another host name of the board, for example of a proxy."
)
@log_option
@click.pass_context
def board(
    ctx: click.Context, host: str, port: int, names: tuple[str, ...], log: Path | None
) -> None:
    """Show the workspace in a browser: the present report, the running stages, and changes by hand.

    There an engineer can start and stop a run, set a threshold, correct a label, promote or roll
    back, with the rules of the commands of the same names. If INSPECTLINE_TOKEN is set, or there
    are `users`, the board asks for a token; without, changes need the link that is shown here at
    the start.
    """
    from flows.status import Queue
    from tasks.web.board.access import Access
    from tasks.web.board.app import create_app
    from tasks.web.board.drop_routes import PATIENCE
    from tasks.web.board.users import Users
    from tasks.web.listening import Limits, serve_app

    workspace = current_workspace(ctx)
    access = Access(os.environ.get(TOKEN, ""), names, users=Users(workspace).now)
    if not access.asks and host not in LOOPBACK:
        warning = f"warning: anybody who can reach {host} may read this; set {TOKEN}"
        click.echo(f"{warning}, or add users", err=True)
    warn_of_token(access.token)
    app = create_app(workspace, access, Queue().now, starter(workspace), log)
    slow = Limits(body=PATIENCE + 10)  # of large images; the board itself answers before
    serve_app(app, host, port, lambda url: tell_address(url, access), slow)


def starter(workspace: Workspace) -> Any:
    """Starts commands for the board; they go on when the board ends."""
    from flows.running.apart import start_apart

    return lambda words, by, log: start_apart(workspace, words, log, by)


def tell_address(url: str, access: Any) -> None:
    """Where the board is; the key for changes only to a person at a terminal, and to no log."""
    if not access.token and sys.stdout.isatty():
        click.echo(f"to change something there, open {url}/login#key={access.key}")
    elif not access.token:
        click.echo(f"to change something there, set {TOKEN}, or add users")
    click.echo(f"the board is at {url}; Ctrl-C ends it")
