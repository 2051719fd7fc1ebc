"""The command line. Heavy packages are imported by the command that needs them."""

import atexit
import errno
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import click

from flows.commands import (
    board,
    changes,
    edge,
    line,
    products,
    releases,
    schema,
    server,
    service,
    sinks,
    users,
)
from flows.running.stop import handled
from tasks.workspace.errors import BusyError, LineError
from tasks.workspace.extras import lacking
from tasks.workspace.files import SHARED_FOLDER, disk_full
from tasks.workspace.home import settle_home
from tasks.workspace.secrets import guard_output, without_secrets

WORKSPACE = "The workspace; by default the one around the current folder."
WITHOUT = (line.init, line.demo, server.worker, schema.schema)  # commands that work on none


class Commands(click.Group):
    """Lists commands in the order of a day's work, and prints our errors without a stack trace."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        guard_output()
        if specs := sys.modules.get("tasks.spec.read"):
            specs.forget_mistakes()
        try:
            settle_home()
            with handled((signal.SIGTERM, signal.SIGHUP), interrupt):
                result = super().invoke(ctx)
            tell_mistakes()
            return result
        except click.exceptions.Exit as ended:
            if ended.exit_code == 0:
                tell_mistakes()
            raise
        except KeyboardInterrupt:
            raise Interrupted("stopped; the same command again goes on") from None
        except Exception as error:
            if (text := expected(error)) is None:
                raise
            raise exception_for(error)(text) from error


def tell_mistakes() -> None:
    """Warn of each product.yaml that was not used, for it has a mistake."""
    if specs := sys.modules.get("tasks.spec.read"):  # where no spec was read, there is none
        for mistake in specs.mistakes_met():
            click.echo(f"warning: {mistake}; {specs.UNTIL}", err=True)


class Interrupted(click.ClickException):
    """Ctrl-C, SIGTERM or a terminal that closed."""

    exit_code = 130  # of a command that SIGINT ended


def interrupt(*_: object) -> None:
    """SIGTERM and SIGHUP end a command as Ctrl-C does, so that what it started ends too."""
    raise KeyboardInterrupt


class Later(click.ClickException):
    """The same command will do once another run has ended."""

    exit_code = 75  # EX_TEMPFAIL


class Lacking(click.ClickException):
    """A package is not installed."""

    exit_code = 2  # as of a command that was not given what it needs


def exception_for(error: Exception) -> type[click.ClickException]:
    """How the command ends."""
    if isinstance(error, BusyError):
        return Later
    return Lacking if isinstance(error, ImportError) else click.ClickException


def expected(error: Exception) -> str | None:
    """What to tell of an error of ours or of the machine's; None for one of the program's."""
    if isinstance(error, ModuleNotFoundError) and (known := lacking(error)):
        return str(known)
    # ad_models imports torch: where no command imported it, none of its errors came up
    models = sys.modules.get("ad_models.errors")
    if isinstance(error, LineError) or (models and isinstance(error, models.AnomalyError)):
        return str(error)
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        where = f"{error.filename}: " if error.filename else ""
        return without_secrets(f"{where}{error.strerror or error}{remedy(error)}")
    return None


def remedy(error: OSError) -> str:
    """What helps against an error of the machine, where something does."""
    if disk_full(error):
        return "; make room, then run again"
    if isinstance(error, PermissionError):
        return f"; {SHARED_FOLDER}"
    return ""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--workspace",
    "-w",
    type=click.Path(path_type=Path, file_okay=False),
    help=WORKSPACE,
)
@click.version_option(package_name="inspectline")
@click.pass_context
def main(ctx: click.Context, workspace: Path | None) -> None:
    """From folders of product images to promoted, published anomaly detectors."""
    ctx.obj = workspace


def anywhere(command: click.Command) -> click.Command:
    """The same command, which takes --workspace behind its name as well."""

    def choose(ctx: click.Context, _: click.Parameter, asked: Path | None) -> None:
        ctx.obj = asked or ctx.obj

    kind = click.Path(path_type=Path, file_okay=False)
    option = click.Option(
        ["--workspace", "-w"], type=kind, callback=choose, expose_value=False, help=WORKSPACE
    )
    command.params.append(option)
    return command


for command in (
    line.init,
    products.new,
    products.fetch,
    line.ingest,
    products.annotations,
    line.run,
    line.stop,
    service.watch,
    line.results,
    releases.predict,
    service.serve,
    edge.inspect,
    sinks.sinks,
    service.drift,
    releases.releases,
    releases.audit,
    releases.sign,
    releases.export,
    edge.pull,
    edge.selftest,
    releases.promote,
    releases.rollback,
    changes.threshold,
    changes.correct,
    changes.keep,
    changes.withdraw,
    changes.mask,
    changes.tune,
    products.rename,
    products.remove,
    line.distil,
    server.deploy,
    server.worker,
    server.status,
    line.sync,
    line.report,
    board.board,
    users.users,
    schema.schema,
    line.demo,
):
    main.add_command(command if command in WITHOUT else anywhere(command))
for command in users.users.commands.values():
    anywhere(command)


def console() -> None:
    """The command as it is installed. It ends once all is said and done: to take apart what was
    imported, and to wait until the server of processes has done so too, takes seconds."""
    try:
        main()
    except SystemExit as ended:
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # nobody listens any more
                stream.flush()
        os._exit(ended.code if isinstance(ended.code, int) else ended.code is not None)


if __name__ == "__main__":
    console()
