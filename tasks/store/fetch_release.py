"""Bring a release from the store to this machine, verified."""

import os
import shutil
import uuid
from pathlib import Path

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.store.base import Store
from tasks.store.champion import champion_id
from tasks.store.release import check_manifest, damaged, folder_of, read_manifest
from tasks.store.seal import SIGNATURE, untrusted
from tasks.workspace.errors import StoreError
from tasks.workspace.files import disk, sha256_of, sweep


def fetch(store: Store, product: str, release: str | None, cache: Path) -> Path:
    """The folder `cache/product/release` with every file as published; None: the champion.

    What the cache holds whole is not downloaded again, so a release that is named needs no store.
    Where the store trusts keys, one of them must have signed it; it comes into no cache otherwise.
    """
    release = release or champion_id(store, product)
    key = folder_of(product, release)
    folder = cache / product / release
    with disk(f"'{folder}'"):
        if not _usable(store, folder, product, release):
            _download(store, key, read_manifest(store, product, release), folder)
    return folder


def _usable(store: Store, folder: Path, product: str, release: str) -> bool:
    return _verified(folder, release) and store.seal.holds(folder, product, release)


def _verified(folder: Path, release: str) -> bool:
    """Whether the cached folder holds what the release's manifest says, byte for byte."""
    try:
        manifest = check_manifest((folder / MANIFEST).read_bytes(), release, str(folder))
        files = manifest.files.items()
        return all(sha256_of(folder / name) == entry.sha256 for name, entry in files)
    except (StoreError, FileNotFoundError):
        return False


def _download(store: Store, key: str, manifest: Manifest, folder: Path) -> None:
    part = folder.with_name(f".{uuid.uuid4().hex}.part")
    sweep(folder.parent)
    try:
        for name, entry in manifest.files.items():
            found = store.download(key + name, part / name)
            if found != entry.sha256:
                raise damaged(
                    f"'{key}{name}' in the store {store.address}",
                    f"its sha256 is {found[:16]}..., its manifest says {entry.sha256[:16]}...",
                )
        store.download(key + MANIFEST, part / MANIFEST)
        if signature := store.get(key + SIGNATURE):
            (part / SIGNATURE).write_bytes(signature)
        _check_seal(store, key, folder, part)
        _replace(store, part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_seal(store: Store, key: str, folder: Path, part: Path) -> None:
    """StoreError unless what was downloaded, and nothing else in the store, is signed."""
    if not store.seal.trust:
        return
    product, release = folder.parts[-2:]
    store.seal.check(part, product, release, key)
    there = {name.removeprefix(key) for name in store.keys(key)}
    files = (path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file())
    if more := sorted(there - {*files}):
        raise untrusted(product, release, f"'{key}{more[0]}' is signed by nobody")


def _replace(store: Store, part: Path, folder: Path) -> None:
    """Give the downloaded folder its name, moving a damaged one out of the way."""
    try:
        os.rename(part, folder)
    except OSError:
        if _usable(store, folder, *folder.parts[-2:]):  # another process fetched it meanwhile
            return
        aside = folder.with_name(f".{uuid.uuid4().hex}.part")
        os.rename(folder, aside)
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(part, folder)
