"""Notifications through a block of the Prefect server, which holds its secrets."""

from collections.abc import Sequence
from typing import Any

import click

from tasks.spec.read import read_params
from tasks.spec.schema import Occasion
from tasks.workspace.paths import Workspace


def notify(workspace: Workspace, news: Sequence[tuple[Occasion, str]]) -> None:
    """Send the news that `line.notify` selects as one message.

    A failure prints one line and is not an error. The line does not contain the text of the
    failure: it may hold the address of a webhook, which is a secret.
    """
    wanted = read_params(workspace.root).line.notify
    lines = [text for occasion, text in news if wanted and occasion in wanted.on]
    if not wanted or not lines:
        return
    trouble = ""
    try:
        block = load_block(wanted.block)
    except Exception as error:
        trouble = f"cannot be loaded ({type(error).__name__}); is it among `prefect block ls`?"
    else:
        try:
            with block.raise_on_failure():
                block.notify("\n".join(lines), f"inspectline {workspace.root.name}")
        except Exception as error:
            trouble = f"failed ({type(error).__name__}); try the block in the Prefect UI"
    if trouble:
        click.echo(f"not notified: the block {wanted.block} {trouble}", err=True)


def load_block(name: str) -> Any:
    """The block `type/name` of the present Prefect server."""
    import prefect.blocks.notifications  # noqa: F401, registers Prefect's own types
    from prefect.blocks.core import Block

    return Block.load(name)
