"""Users of the board: who may look, who may label, who may promote."""

import click

from flows.commands import current_workspace

ROLES = click.Choice(("look", "label", "promote"))


@click.group()
def users() -> None:
    """Say who may use the board, each by a token of their own.

    With users the board asks everybody for a token. look: read. label: also labels, masks, images,
    and runs. promote: also thresholds, champions, new products. INSPECTLINE_TOKEN and the link that
    the board shows at its start keep every right.
    """


@users.command()
@click.argument("name")
@click.option("--role", type=ROLES, required=True, help="Each may do what those before it may.")
@click.pass_context
def add(ctx: click.Context, name: str, role: str) -> None:
    """Add user NAME, and print a fresh token, once: only its hash is kept."""
    from tasks.web.board.users import Users

    token = Users(current_workspace(ctx)).add(name, role)  # type: ignore[arg-type]
    click.echo(token)
    click.echo(f"the token of {name}, with the role {role}; it is not shown again", err=True)


@users.command("list")
@click.pass_context
def list_(ctx: click.Context) -> None:
    """List the users with their roles."""
    from tasks.web.board.users import Users

    known = Users(current_workspace(ctx)).now() or []
    for one in known:
        click.echo(f"{one.name}: {one.role}, since {one.since}")
    if not known:
        click.echo("no user yet; `inspectline users add NAME --role ROLE` adds one", err=True)


@users.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove user NAME. Logins with that token end at once."""
    from tasks.web.board.users import Users

    known = Users(current_workspace(ctx))
    gone = known.remove(name)
    click.echo(f"removed {gone.name}, who had the role {gone.role}")
    if not known.now():
        click.echo(
            f"no user is left, and the board still asks for a token; remove {known.path} to let "
            "everybody look again",
            err=True,
        )
