"""Publish a folder as a release, and list releases. Champions: promote.py; download: fetch.py."""

import logging
from pathlib import Path
from typing import Any

from tasks.errors import DataError, StoreError
from tasks.storage.fetch import fetch
from tasks.storage.promote import champion, promote, record, rollback
from tasks.storage.release import (
    MANIFEST,
    checked,
    describe,
    folder_of,
    new_manifest,
    read_manifest,
    release_id,
)
from tasks.storage.store import Store, disk

__all__ = ["champion", "fetch", "promote", "publish", "record", "releases", "rollback"]
log = logging.getLogger(__name__)


def publish(folder: Path, product: str, store: Store, about: dict[str, Any]) -> str:
    """The id under which every file of the folder is in the store, whole.

    The manifest goes last, so a reader sees no release or all of it, and whoever runs this again
    completes it. The same content again changes nothing, even when `about` differs.
    about: at least "algorithm"; "metrics" are shown by `releases`.
    """
    with disk(f"'{folder}'"):
        files = describe(folder)
    manifest = new_manifest(files, product, about)
    release = release_id(files)
    key = folder_of(product, release)
    stored = store.keys(key)
    if key + MANIFEST in stored and all(
        stored.get(key + name) == entry["bytes"] for name, entry in files.items()
    ):
        read_manifest(store, product, release)
        log.info("release %s of %s was published before, nothing to do", release, product)
        return release
    for name, entry in files.items():
        _upload(store, key + name, folder / name, entry["sha256"], key + name in stored)
    with disk(f"'{folder}'"):
        if describe(folder) != files:
            raise DataError(f"'{folder}' changed while it was published; publish it again")
    store.put(key + MANIFEST, manifest)
    log.info("published release %s of %s: %d files", release, product, len(files))
    return release


def releases(store: Store, product: str) -> list[dict[str, Any]]:
    """Every whole release, oldest first: id, algorithm, created, champion, bytes, metrics."""
    top = f"releases/{checked(product)}/"
    current = champion(store, product)
    found = []
    for key in store.keys(top):
        release, _, name = key.removeprefix(top).partition("/")
        if name != MANIFEST:
            continue
        manifest = read_manifest(store, product, release)
        found.append(
            {
                "id": release,
                "algorithm": manifest["algorithm"],
                "created": manifest["created"],
                "champion": current is not None and current["release"] == release,
                "bytes": sum(entry["bytes"] for entry in manifest["files"].values()),
                "metrics": manifest["about"].get("metrics") or {},
            }
        )
    return sorted(found, key=lambda one: (one["created"], one["id"]))


def _upload(store: Store, key: str, path: Path, sha256: str, there: bool) -> None:
    """Make the object hold the file: its key stands for its content, so other content is damage."""
    if not there and store.put(key, path):
        return
    if store.digest(key) == sha256:
        return
    store.delete(key)
    if not store.put(key, path):
        raise StoreError(f"'{key}' is being written by somebody else; publish again later")
