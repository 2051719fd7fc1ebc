"""A source of images, wherever it is, as a folder to read from."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.arrival.archives import is_archive, unpack
from tasks.arrival.buckets import SCHEME, download_bucket
from tasks.workspace.errors import DataError
from tasks.workspace.files import writing

PREFIX = "ingest"


def source_folder(source: str | Path, folder: Path) -> tuple[Path, list[tuple[str, str]]]:
    """The folder that holds the source's images, and (name, reason) of files that were refused.

    What is fetched or unpacked goes to `folder`.
    """
    fetched = folder / "source"
    with writing(fetched):
        fetched.mkdir(parents=True)
    if str(source).startswith(SCHEME):
        return fetched, download_bucket(str(source), fetched)
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
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent` that goes when the block ends, however it ends.

    Its name holds the process, so that what a killed one left behind goes the next time.
    """
    with writing(parent):
        parent.mkdir(parents=True, exist_ok=True)
        for left in parent.glob(f"{PREFIX}-*-*"):
            if not process_runs(left.name.split("-")[1]):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-{os.getpid()}-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def process_runs(process: str) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        pass  # it runs, for another user
    return True
