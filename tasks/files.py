"""Files and folders that appear whole or not at all."""

import csv
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.errors import DataError


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of `folder` when the block ends well.

    A `.gitignore` that DVC wrote into `folder` stays: it is no part of what is made anew.
    """
    for left in folder.parent.glob(f".{folder.name}.*.partial"):  # by one that was killed
        shutil.rmtree(left, ignore_errors=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        with suppress(FileNotFoundError):
            shutil.copy2(folder / ".gitignore", partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write beside, then rename: a reader sees the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> None:
    """As UTF-8, through `write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Indented JSON; a number that JSON cannot hold (NaN) is an error, not a surprise later."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_rows(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file; None is an empty field."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column; everything is text."""
    if not path.is_file():
        raise DataError(f"{path} is missing; `inspectline run` or `dvc repro` makes it")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
