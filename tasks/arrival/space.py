"""Files written whole or not at all, and clear words where the disk is full."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.errors import DataError

FULL = (errno.ENOSPC, errno.EDQUOT)


def need_space(folder: Path, size: int, what: str) -> None:
    """DataError unless `size` bytes fit onto the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{what} takes {megabytes(size)}, but no more than {megabytes(free)} are free at "
            f"{folder}; free some space"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into a DataError with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DataError(
                f"no space left on the disk of {path}; free some and do it again: "
                "what is already in place stays and is not done twice"
            ) from error
        raise DataError(
            f"{path} cannot be written ({error.strerror}); check the folder and its rights"
        ) from error


def put(data: bytes, target: Path, scratch: Path) -> None:
    """Write `data` to `target` by way of `scratch`, which must be on the same disk."""
    partial = scratch / "partial"
    with writing(target):
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
