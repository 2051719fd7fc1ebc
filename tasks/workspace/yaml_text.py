"""Read what a person wrote as YAML: a value, or an error that says where it is none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tasks.workspace.errors import SpecError

FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # where PyYAML has its C part
INWARDS = ("[", "{", "- -", "? ?", ": ?", ": -", "- ?", "? -")  # go deeper within a line
DEEPEST = 100
MERGE = "tag:yaml.org,2002:merge"  # `<<`, which may stand there twice


class _Loader(FAST):
    """As PyYAML's safe one, but a key that stands there twice is an error: else the last one would
    win without a word."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Any] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.tag != MERGE and isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    line = key.start_mark.line + 1
                    raise yaml.constructor.ConstructorError(
                        None, None, f"line {line}: the key '{key.value}' stands there twice"
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: Path | str) -> Any:
    """The value of a text; SpecError with `where` it stands unless it is YAML."""
    with _told(where):
        check_depth(text)
        return yaml.load(text, _Loader)


def compose_yaml(text: str, where: Path | str) -> Any:
    """The nodes of a text, which know their lines; None of an empty one."""
    with _told(where):
        check_depth(text)
        return yaml.compose(text, yaml.SafeLoader)


def check_depth(text: str) -> None:
    """ValueError for brackets in brackets without end: the C part of PyYAML would end the process.
    Only a text that has many of them is looked at."""
    if sum(map(text.count, INWARDS)) <= DEEPEST:
        return
    depth = 0
    for event in yaml.parse(text, FAST):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} brackets in brackets")


@contextmanager
def _told(where: Path | str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of a date, a number or a tag PyYAML raises what its parts raise
        raise SpecError(f"{where} is no valid YAML: {error}") from error


def read_text(path: Path) -> str:
    """The text of a file in UTF-8; SpecError unless it can be read."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is no text in UTF-8 ({error}); save it as that") from None
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror}); check it") from error
