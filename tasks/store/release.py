"""What a release is: files under an id made of their content, described by a manifest.

Anybody can compute the id: `sha256sum` over the sorted file names, and `sha256sum` of that list.
"""

import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.documents.manifest import MANIFEST, About, FileEntry, Manifest
from tasks.documents.stored import FORMAT
from tasks.store.base import Store
from tasks.store.seal import SIGNATURE
from tasks.workspace import clock
from tasks.workspace.errors import DataError, LineError, MissingError, StoreError
from tasks.workspace.files import read
from tasks.workspace.names import valid_name

Files = dict[str, FileEntry]


def release_id(files: Files) -> str:
    """16 hexadecimal digits that stand for the names and contents."""
    lines = [f"{files[name].sha256}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def describe(folder: Path) -> Files:
    """sha256 and bytes of each file below a folder, by its relative path."""
    files: Files = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest = hashlib.sha256()
        size = 0
        for chunk in read(path):
            digest.update(chunk)
            size += len(chunk)
        name = path.relative_to(folder).as_posix()
        if not name.isprintable():
            raise DataError(f"{name!r} in '{folder}' cannot stand in a manifest; rename the file")
        files[name] = FileEntry(sha256=digest.hexdigest(), bytes=size)
    if not files:
        raise DataError(f"'{folder}' holds no files to publish; give a folder with a model")
    for name in (MANIFEST, SIGNATURE):
        if name in files:
            raise DataError(f"'{folder / name}' has a name that a release needs; rename it")
    return files


def new_manifest(files: Files, product: str, about: About) -> Manifest:
    """The manifest of a release that is published now."""
    if not about.algorithm:
        raise DataError("about has no 'algorithm'; name the algorithm that made the release")
    return Manifest(
        format=FORMAT,
        product=product,
        release=release_id(files),
        algorithm=about.algorithm,
        created=now(),
        files=files,
        about=about,
    )


def read_manifest(store: Store, product: str, release: str) -> Manifest:
    """The manifest of a published release; a StoreError where there is none."""
    key = folder_of(product, release) + MANIFEST
    content = store.get(key)
    if content is None:
        raise MissingError(
            f"product '{product}' has no whole release '{release}' in the store {store.address}; "
            "list the releases, or publish it again"
        )
    return check_manifest(content, release, f"'{key}' in the store {store.address}")


def check_manifest(content: bytes, release: str, where: str) -> Manifest:
    """The decoded manifest, whose list of files must give the release's own id."""
    manifest = Manifest.parse(content, where)
    outside = (PurePosixPath(n).is_absolute() or ".." in n.split("/") for n in manifest.files)
    if release_id(manifest.files) != release or any(outside):
        raise damaged(where, "its list of files does not give the release's id")
    return manifest


def check_whole(store: Store, product: str, release: str) -> Manifest:
    """The manifest of a release whose files are all there with the right size."""
    manifest = read_manifest(store, product, release)
    folder = folder_of(product, release)
    sizes = store.keys(folder)
    for name, entry in manifest.files.items():
        where = f"'{folder}{name}' in the store {store.address}"
        if folder + name not in sizes:
            raise StoreError(f"{where} is missing; publish the release again")
        if sizes[folder + name] != entry.bytes:
            found = sizes[folder + name]
            raise damaged(where, f"it has {found} bytes, its manifest says {entry.bytes}")
    return manifest


def folder_of(product: str, release: str) -> str:
    """The key prefix of a release."""
    if not re.fullmatch(r"[0-9a-f]{16}", release):
        raise MissingError(f"'{release}' is no release; an id has 16 hexadecimal digits")
    return f"releases/{valid_name(product)}/{release}/"


def damaged(where: str, reason: str) -> LineError:
    """The error for an object that is not what its release promises."""
    return Manifest.damaged(where, reason)


def encode(body: dict[str, Any]) -> bytes:
    """JSON as bytes, readable, in UTF-8; NaN is refused because other readers reject it."""
    try:
        text = json.dumps(body, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"no JSON: {error}; use plain values, and null for NaN") from error
    return f"{text}\n".encode()


def now() -> str:
    """The time in UTC with microseconds, ISO 8601."""
    return clock.now("microseconds")
