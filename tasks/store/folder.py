"""A store in a folder: the default, and the same layout as in S3."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout

from tasks.store.base import Store, check_key
from tasks.workspace.errors import ConflictError, StoreError
from tasks.workspace.files import disk, read, swept_beside, sync, write

HIDDEN = (".part", ".lock")


class FolderStore(Store):
    """Objects are files. A write goes to a file beside and is renamed; `put_if` holds a file lock.

    The operating system releases the lock when its process ends, so no lock is left behind.
    """

    def __init__(self, folder: Path, patience: float = 30.0) -> None:
        """`patience`: seconds to wait for a lock that another process holds."""
        self.folder = folder
        self.address = str(folder)
        self.patience = patience

    def get_with_tag(self, key: str) -> tuple[bytes, str] | None:
        """Content and its sha256."""
        with disk(self._names(key)):
            try:
                content = self._path(key).read_bytes()
            except FileNotFoundError:
                return None
        return content, hashlib.sha256(content).hexdigest()

    def chunks(self, key: str) -> Iterator[bytes]:
        """The file piece by piece."""
        with disk(self._names(key)):
            yield from read(self._path(key))

    def put(self, key: str, data: bytes | Path) -> bool:
        """True when the file was written, False when it was there."""
        path = self._path(key)
        if path.exists():
            return False
        with disk(self._names(key)), swept_beside(path) as part:
            write(part, [data] if isinstance(data, bytes) else read(data))
            return _appear(part, path)

    def put_if(self, key: str, data: bytes, tag: str | None) -> None:
        """Replace the file under a lock while it has `tag`, else ConflictError."""
        path = self._path(key)
        with disk(self._names(key)), swept_beside(path) as part:
            write(part, [data])
            with self._lock(key):
                found = self.get_with_tag(key)
                if (None if found is None else found[1]) != tag:
                    raise ConflictError(f"{self._names(key)} was changed by somebody else")
                os.replace(part, path)
                sync(path.parent)

    def delete(self, key: str) -> None:
        """Remove the file, if it is there."""
        with disk(self._names(key)):
            self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> dict[str, int]:
        """Key and bytes of each file below the prefix."""
        top = self._path(prefix.rpartition("/")[0] or ".")
        with disk(self._names(prefix)):
            sizes = {}
            for path in top.rglob("*"):
                if path.name.startswith(".") and path.name.endswith(HIDDEN):
                    continue
                with suppress(FileNotFoundError):  # somebody removes it just now
                    if stat.S_ISREG((about := path.stat()).st_mode):
                        sizes[path.relative_to(self.folder).as_posix()] = about.st_size
        return {key: sizes[key] for key in sorted(sizes) if key.startswith(prefix)}

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        lock = FileLock(self._path(key).with_name(f".{PurePosixPath(key).name}.lock"))
        try:
            lock.acquire(timeout=self.patience, poll_interval=0.01)
        except Timeout:
            what = f"{self._names(key)} was locked by another process for {self.patience:g} s"
            raise StoreError(f"{what}; try again when it has ended") from None
        try:
            yield
        finally:
            lock.release()

    def _path(self, key: str) -> Path:
        return self.folder if key == "." else self.folder / check_key(key)

    def _names(self, key: str) -> str:
        return f"'{key}' in the store '{self.address}'"


def _appear(part: Path, path: Path) -> bool:
    """Give a complete file its name, unless the name is taken."""
    try:
        os.link(part, path)  # unlike a rename it never overwrites
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        os.replace(part, path)
    sync(path.parent)
    return True
