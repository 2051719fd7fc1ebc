"""The commands, in groups. Each command imports the heavy packages that it needs."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from tasks.workspace.errors import WorkspaceError
from tasks.workspace.names import part_pattern
from tasks.workspace.paths import Workspace, find

LARGEST = 1e9  # of a number of a command; no clock takes all that are larger


class Above(click.ParamType):
    """A number, or a whole one, that is above zero and no larger than LARGEST."""

    name = "number"

    def __init__(self, kind: type[int] | type[float] = float, zero: bool = False) -> None:
        """zero: whether 0 will do too."""
        self.kind, self.zero = kind, zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = self.kind(value)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no {'whole ' * (self.kind is int)}number", param, ctx)
        if not (self.zero and number == 0) and not 0 < number <= LARGEST:  # nor is NaN
            self.fail(f"{value} is not {'0 or ' * self.zero}above 0, up to {LARGEST:g}", param, ctx)
        return number


Command = TypeVar("Command", bound=Callable[..., Any])
SECONDS, SOME, WHOLE = Above(zero=True), Above(), Above(int)

log_option = click.option(
    "--log",
    envvar="INSPECTLINE_LOG",
    type=click.Path(path_type=Path, file_okay=False),
    help="Log predictions in this folder; `drift` and `board` read them. Also as INSPECTLINE_LOG.",
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="cpu, cuda or cuda:N; auto: a GPU where there is one.",
)
release_option = click.option("--release", help="A release other than the champion.")
store_option = click.option(
    "--store",
    envvar="INSPECTLINE_STORE",
    metavar="STORE",
    help="A folder, as of `pull`, or s3://bucket/prefix: then no workspace is needed.",
)
part_option = click.option(
    "--part",
    "pattern",
    metavar="PATTERN",
    help="Finds the part's id, (?P<part>...), in the name of a file. By default `line.part`.",
)
host_option = click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0: every network."
)
labels_option = click.option(
    "--labels",
    multiple=True,
    metavar="LABEL=FOLDER,...",
    help="What the images in FOLDER are: good, a type of defect, mask, or skip; repeatable.",
)

annotations_option = click.option(
    "--annotations",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Says label and mask of each image: COCO, Label Studio (JSON), or CSV of "
    "path,label[,mask]; here or in SOURCE.",
)


def port_option(default: int) -> Callable[[Command], Command]:
    """Where a service listens."""
    kind, text = click.IntRange(0, 65535), "0: any that is free."
    return click.option("--port", default=default, show_default=True, type=kind, help=text)


def current_workspace(ctx: click.Context) -> Workspace:
    """The workspace that a command works on."""
    asked: Path | None = ctx.obj
    return find(asked)


def part_finder(asked: Path | None, pattern: str | None) -> re.Pattern[str] | None:
    """What finds part ids in the names of images: the option `--part`, or `line.part` of the
    workspace where there is one."""
    from tasks.spec.read import read_params

    if pattern is None:
        with suppress(WorkspaceError):
            pattern = read_params(find(asked).root).line.part
    return part_pattern(pattern) if pattern else None
