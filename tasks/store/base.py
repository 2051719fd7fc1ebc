"""The store of releases: a folder or an S3 bucket with the same layout, behind one small class.

`releases/`, `exhibits/` and `records/` are written once; `champions/` changes only through
`put_if`.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tasks.store.seal import Seal
from tasks.workspace.errors import StoreError
from tasks.workspace.files import disk, swept_beside, write


class Store(ABC):
    """Objects under keys like `releases/bottle/0123456789abcdef/fit.json`."""

    address: str
    seal: Seal = Seal()  # what is published is signed with it, what is fetched verified

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
        with disk(f"'{path}'"), swept_beside(path) as part:
            digest = write(part, self.chunks(key))
            os.replace(part, path)
        return digest


def check_key(key: str) -> str:
    """The key itself; a StoreError where it could lead out of the store."""
    parts = PurePosixPath(key).parts
    if not parts or parts[0] == "/" or ".." in parts or "\\" in key or "\0" in key:
        raise StoreError(f"'{key}' is no key of a store; use relative paths with '/', without '..'")
    return key
