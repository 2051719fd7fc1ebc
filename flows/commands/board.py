"""The board: the workspace in a browser."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from flows.commands import current_workspace, host_option, log_option, port_option
from flows.commands.service import LOOPBACK, TOKEN, warn_of_token


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

    There an engineer can set a threshold, correct a label, promote or roll back, with the rules of
    the commands of the same names. If INSPECTLINE_TOKEN is set, the board asks for it; without a
    token, changes need the link that is shown here at the start.
    """
    from flows.status import Queue
    from tasks.web.board.access import Access
    from tasks.web.board.app import create_app
    from tasks.web.listening import serve_app

    workspace = current_workspace(ctx)
    access = Access(os.environ.get(TOKEN, ""), names)
    if not access.token and host not in LOOPBACK:
        click.echo(f"warning: anybody who can reach {host} may read this; set {TOKEN}", err=True)
    warn_of_token(access.token)
    app = create_app(workspace, access, Queue().now, log)
    serve_app(app, host, port, lambda url: tell_address(url, access))


def tell_address(url: str, access: Any) -> None:
    """Where the board is; the key for changes only to a person at a terminal, and to no log."""
    if not access.token and sys.stdout.isatty():
        click.echo(f"to change something there, open {url}/login#key={access.key}")
    elif not access.token:
        click.echo(f"to change something there, set {TOKEN}")
    click.echo(f"the board is at {url}; Ctrl-C ends it")
