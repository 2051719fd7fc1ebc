"""The store of releases: a folder or an S3 bucket with the same layout, behind one small class.

`releases/`, `exhibits/` and `records/` are written once; `champions/` changes only through
`put_if`.
"""

import errno
import hashlib
import os
import shutil
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from tasks.errors import StoreError

CHUNK = 1 << 20  # bytes
LEFT_BEHIND = 24 * 3600.0  # seconds


class Store(ABC):
    """Objects under keys like `releases/bottle/0123456789abcdef/fit.json`."""

    address: str

    @abstractmethod
    def get_with_tag(self, key: str) -> tuple[bytes, str] | None:
        """Content and the tag that `put_if` compares, or None where there is no such object."""

    @abstractmethod
    def chunks(self, key: str) -> Iterator[bytes]:
        """The content piece by piece; a missing object is a StoreError."""

    @abstractmethod
    def put(self, key: str, data: bytes | Path) -> bool:
        """True when written, False when the key was taken: what is there is never overwritten."""

    @abstractmethod
    def put_if(self, key: str, data: bytes, tag: str | None) -> None:
        """Write only where the object still has `tag` (None: still missing), else ConflictError."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""

    @abstractmethod
    def keys(self, prefix: str) -> dict[str, int]:
        """Key and bytes of every object whose key begins with `prefix`, sorted by key."""

    def get(self, key: str) -> bytes | None:
        """Content, or None where there is no such object."""
        found = self.get_with_tag(key)
        return None if found is None else found[0]

    def digest(self, key: str) -> str:
        """sha256 of the content, read from the store."""
        digest = hashlib.sha256()
        for chunk in self.chunks(key):
            digest.update(chunk)
        return digest.hexdigest()

    def download(self, key: str, path: Path) -> str:
        """sha256 of what was written to `path`, which appears only when complete."""
        with disk(f"'{path}'"), beside(path) as part:
            digest = write(part, self.chunks(key))
            os.replace(part, path)
        return digest


def open_store(address: str | Path, *, single_writer: bool = False, timeout: float = 12.0) -> Store:
    """The store at a folder or at `s3://bucket/prefix`; nothing is asked or created yet.

    single_writer: promise that nobody else promotes, for S3 servers without conditional writes.
    timeout: seconds an S3 server may stay silent; there are three attempts.
    """
    text = str(address)
    if text.startswith("s3://"):
        from tasks.storage.s3 import S3Store

        return S3Store(text, single_writer=single_writer, timeout=timeout)
    if "://" in text or not text:
        raise StoreError(f"'{text}' is no store; give a folder or s3://bucket/prefix")
    from tasks.storage.folder import FolderStore

    return FolderStore(Path(address))


def check_key(key: str) -> str:
    """The key itself; a StoreError where it could lead out of the store."""
    parts = PurePosixPath(key).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in key or "\0" in key:
        raise StoreError(f"'{key}' is no key of a store; use relative paths with '/', without '..'")
    return key


@contextmanager
def disk(what: str) -> Iterator[None]:
    """Turn this machine's disk errors into a StoreError that names `what` and the remedy."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"no space left to write {what}; free some, then run again to complete it"
        else:
            message = f"cannot read or write {what}: {error.strerror or error}; check the folder"
        raise StoreError(message) from error


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to and rename from; gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


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
