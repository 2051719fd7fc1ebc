"""Publish a folder as a release, and list releases. See champion.py and fetch_release.py."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.documents.manifest import MANIFEST, About
from tasks.documents.metrics import GateMetrics
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.release import (
    describe,
    encode,
    folder_of,
    new_manifest,
    read_manifest,
    release_id,
)
from tasks.store.seal import SIGNATURE, with_documents
from tasks.workspace.errors import AwayError, DataError, LineError, StoreError
from tasks.workspace.files import disk
from tasks.workspace.names import valid_name
from tasks.workspace.paths import Workspace

PICTURES_FILE = "exhibits.zip"  # the name on disk and in DVC since version 0.1


def pictures_key(product: str, release: str) -> str:
    """Where the store keeps a release's pictures: beside it, because inspection needs none."""
    return f"exhibits/{valid_name(product)}/{valid_name(release)}.zip"


def store_pictures(
    store: Store, workspace: Workspace, product: str, algorithm: str, release: str
) -> None:
    """Keep the pictures of an evaluation with the release that was made of it."""
    archive = workspace.evaluation(product, algorithm) / PICTURES_FILE
    if archive.is_file():
        store.put(pictures_key(product, release), archive)


def fetch_pictures(store: Store, workspace: Workspace, product: str, release: str) -> Path | None:
    """A release's archive on this machine; None where the store has none."""
    path = workspace.scratch / "exhibits" / product / f"{release}.zip"
    key = pictures_key(product, release)
    if not path.is_file():
        try:
            store.download(key, path)
        except StoreError:
            return None
    return path


log = logging.getLogger(__name__)


def publish(folder: Path, product: str, store: Store, about: About) -> str:
    """The id under which every file of the folder is in the store, whole.

    The manifest goes last, so a reader sees no release or all of it, and running this again
    completes it. The same content again changes nothing, even when `about` differs.
    about: at least its algorithm; its metrics are shown by `releases`. With a key to sign it is
    signed too, and a release without our signature gets one, and this manifest.
    """
    with disk(f"'{folder}'"):
        files = describe(folder)
    manifest = encode(new_manifest(files, product, about).dump())
    release = release_id(files)
    key = folder_of(product, release)
    stored = store.keys(key)
    if key + MANIFEST in stored and all(
        stored.get(key + name) == entry.bytes for name, entry in files.items()
    ):
        read_manifest(store, product, release)
        if store.seal.key and not _signed(store, key, folder):
            _put_signed(store, key, folder, manifest)
            return release
        log.info("release %s of %s was published before, nothing to do", release, product)
        return release
    for name, entry in files.items():
        _upload(store, key + name, folder / name, entry.sha256, key + name in stored)
    with disk(f"'{folder}'"):
        if describe(folder) != files:
            raise DataError(f"'{folder}' changed while it was published; publish it again")
    _put_signed(store, key, folder, manifest)
    log.info("published release %s of %s: %d files", release, product, len(files))
    return release


def _signed(store: Store, key: str, folder: Path) -> bool:
    """Whether our key signed what the store holds: these files, its manifest."""
    stored = {name: store.get(key + name) or b"" for name in (MANIFEST, SIGNATURE)}
    with with_documents(folder, stored) as whole:
        return store.seal.signed(whole)


def _put_signed(store: Store, key: str, folder: Path, manifest: bytes) -> None:
    """Write the manifest, and before it the signature over it where there is a key. A manifest that
    is there goes once there is a signature for another one."""
    if store.seal.key:
        with with_documents(folder, {MANIFEST: manifest}) as whole:
            signature = store.seal.sign(whole)
        for name in (MANIFEST, SIGNATURE):
            store.delete(key + name)
        store.put(key + SIGNATURE, signature)
    if not store.put(key + MANIFEST, manifest) and store.seal.key:
        raise StoreError(f"'{key}' is being written by somebody else; publish again later")


@dataclass(frozen=True)
class Release:
    """A line of the list of releases."""

    id: str
    algorithm: str
    created: str
    champion: bool
    bytes: int
    metrics: GateMetrics | None

    def row(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "metrics": self.metrics.dump() if self.metrics else {}}


def releases(store: Store, product: str) -> list[Release]:
    """Every whole release, oldest first. A stray folder, or a manifest that is damaged, is left out
    with a word in the log."""
    top = f"releases/{valid_name(product)}/"
    current = champion(store, product)
    found = []
    for key in store.keys(top):
        release, _, name = key.removeprefix(top).partition("/")
        if name != MANIFEST:
            continue
        try:
            manifest = read_manifest(store, product, release)
        except AwayError:
            raise
        except LineError as error:
            log.warning("left out of the releases of %s: %s", product, error)
            continue
        leads = current is not None and current.release == release
        size = sum(entry.bytes for entry in manifest.files.values())
        about = (manifest.algorithm, manifest.created, leads, size, manifest.about.metrics)
        found.append(Release(release, *about))
    return sorted(found, key=lambda one: (one.created, one.id))


def _upload(store: Store, key: str, path: Path, sha256: str, there: bool) -> None:
    """Make the object hold the file: its key stands for its content, so other content is damage."""
    if not there and store.put(key, path):
        return
    if store.digest(key) == sha256:
        return
    store.delete(key)
    if not store.put(key, path):
        raise StoreError(f"'{key}' is being written by somebody else; publish again later")
