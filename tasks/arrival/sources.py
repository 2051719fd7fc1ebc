"""A source of images, wherever it is, as a folder to read from."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.arrival.archives import is_archive, unpack
from tasks.arrival.buckets import SCHEME, download
from tasks.workspace.errors import DataError
from tasks.workspace.files import writing

ROOM = "ingest"


def folder_of(source: str | Path, room: Path) -> tuple[Path, list[tuple[str, str]]]:
    """The folder that holds the source's images, and (name, reason) of files that were refused.

    What is fetched or unpacked goes to `room`.
    """
    fetched = room / "source"
    with writing(fetched):
        fetched.mkdir(parents=True)
    if str(source).startswith(SCHEME):
        return fetched, download(str(source), fetched)
    path = Path(source).expanduser()
    if path.is_dir():
        return path, []
    if not path.exists():
        raise DataError(f"{source}: no such file or folder; check the path")
    if not os.access(path, os.R_OK):
        raise DataError(f"{source}: permission denied; make the file readable")
    if not is_archive(path):
        raise DataError(
            f"{source}: neither a folder nor a whole zip or tar file; give a folder of images, "
            "a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, or s3://bucket/prefix"
        )
    return fetched, unpack(path, fetched)


@contextmanager
def room_in(scratch: Path) -> Iterator[Path]:
    """An empty folder in `scratch` that goes when the block ends, however it ends.

    Its name holds the process, so that what a killed one left behind goes the next time.
    """
    with writing(scratch):
        scratch.mkdir(parents=True, exist_ok=True)
        for left in scratch.glob(f"{ROOM}-*-*"):
            if not alive(left.name.split("-")[1]):
                shutil.rmtree(left, ignore_errors=True)
        room = Path(tempfile.mkdtemp(prefix=f"{ROOM}-{os.getpid()}-", dir=scratch))
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def alive(process: str) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass  # it runs, for another user
    return True
