"""A folder to read from, for any kind of image source."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.arrival.annotations import annotation_like
from tasks.arrival.archives import is_archive, unpack
from tasks.arrival.buckets import SCHEME, download_bucket
from tasks.images.layout import image_like
from tasks.workspace.errors import DataError
from tasks.workspace.files import writing

PREFIX = "ingest"


def source_folder(source: str | Path, folder: Path) -> tuple[Path, list[tuple[str, str]]]:
    """The folder that holds the source's images, and (name, reason) of each refused file.

    Downloaded or unpacked files go to `folder`.
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
    if not path.is_file():  # a pipe or a device may have no end
        raise DataError(f"{source}: neither a folder nor a file; give a folder or an archive")
    if not os.access(path, os.R_OK):
        raise DataError(f"{source}: permission denied; make the file readable")
    if not is_archive(path):
        raise DataError(
            f"{source}: neither a folder nor a whole zip or tar file; give a folder of images, "
            "a .zip, .tar, .tar.gz, .tar.bz2 or .tar.xz, or s3://bucket/prefix"
        )
    return fetched, unpack(path, fetched, lambda name: image_like(name) or annotation_like(name))


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """An empty folder in `parent`, deleted when the block ends, also after an error.

    Its name holds the process number, so that the next call deletes what a killed process left.
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
        pass  # it runs under another user
    return True
