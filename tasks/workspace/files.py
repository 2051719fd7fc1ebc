"""Files and folders that appear whole or not at all, and clear words where the disk is full."""

import csv
import errno
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tasks.workspace.errors import DataError, StoreError

CHUNK = 1 << 20  # bytes
SHARED_FOLDER = (  # what helps where another user made a file
    "another user made it: give commands as one user, or share the workspace "
    "(`chgrp -R GROUP DIR; chmod -R g+rwX DIR`, and `umask 002` for all of them)"
)
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)  # of file systems that sync no folder
LEFT_BEHIND = 24 * 3600.0  # seconds after which an unfinished file is nobody's


def disk_full(error: BaseException | None) -> bool:
    """Whether a disk without room is behind an error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def need_space(folder: Path, size: int, what: str) -> None:
    """DataError unless `size` bytes fit onto the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise DataError(
            f"{what} takes {megabytes(size)}, but no more than {megabytes(free)} are free at "
            f"{folder}; free some space"
        )


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a failure to write `path` into a DataError with the remedy."""
    try:
        yield
    except OSError as error:
        if disk_full(error):
            raise DataError(
                f"no space left on the disk of {path}; free some and do it again: "
                "what is already in place stays and is not done twice"
            ) from error
        raise DataError(f"{path} cannot be written ({error.strerror}); {check(error)}") from error


def check(error: OSError) -> str:
    """What to look at after an error of the disk."""
    return SHARED_FOLDER if isinstance(error, PermissionError) else "check the folder"


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Turn this machine's disk errors into a StoreError that names `what` and the remedy."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if disk_full(error):
            message = f"no space left to write {what}; free some, then run again to complete it"
        else:
            message = f"cannot read or write {what}: {error.strerror or error}; {check(error)}"
        raise StoreError(message) from error


@contextmanager
def folder_beside(folder: Path) -> Iterator[Path]:
    """A scratch folder that takes the place of `folder` when the block ends well.

    A `.gitignore` that DVC wrote into `folder` stays: it is no part of what is made.
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


@contextmanager
def file_beside(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to and rename from; gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def swept_beside(path: Path) -> Iterator[Path]:
    """As `file_beside`, where the folder is also rid of what killed processes left in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    with file_beside(path) as part:
        yield part


def sweep(folder: Path) -> None:
    """Remove what killed processes began in a folder and nobody has touched for a day."""
    for part in folder.glob(".*.part"):
        with suppress(FileNotFoundError):  # somebody else sweeps too
            if time.time() - part.stat().st_mtime < LEFT_BEHIND:
                continue
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink()


def write(path: Path, chunks: Iterable[bytes]) -> str:
    """sha256 of what was written and synced to disk."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
            digest.update(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def read(path: Path) -> Iterator[bytes]:
    """The file piece by piece."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def sha256_of(path: Path) -> str:
    """Of the file's content, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put(data: bytes, target: Path, scratch: Path) -> None:
    """Write `data` to `target` by way of `scratch`, which must be on the same disk."""
    partial = scratch / "partial"
    with writing(target):
        try:
            write(partial, [data])
            target.parent.mkdir(parents=True, exist_ok=True)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write beside, then rename: a reader sees the old file or the whole new one."""
    with file_beside(path) as partial:
        partial.write_bytes(content)
        partial.replace(path)
    return path


def write_synced(path: Path, content: bytes) -> Path:
    """As `write_bytes`, and it outlives a power cut when this returns."""
    with file_beside(path) as partial:
        write(partial, [content])
        partial.replace(path)
    sync(path.parent)
    return path


def sync(folder: Path) -> None:
    """Make a rename survive a power cut, where folders can be synced."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise
        finally:
            os.close(descriptor)


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
