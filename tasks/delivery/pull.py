"""Bring a release, and what it is checked with, into a folder for a machine without a network.

The folder is a store of its own: `--store DIR` inspects with it, and a second pull moves its
champion on, so that a reader has the old release or the new one, whole.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.store.base import Store
from tasks.store.champion import promote
from tasks.store.fetch_release import fetch
from tasks.store.folder import FolderStore
from tasks.store.golden import golden_key
from tasks.store.release import damaged, folder_of, read_manifest
from tasks.workspace.errors import StoreError
from tasks.workspace.files import disk, file_beside, sha256_of, sweep, swept_beside

SUMS = "SHA256SUMS"  # of all files of the folder, for `sha256sum --check`
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


@dataclass(frozen=True)
class Pulled:
    """What has come."""

    manifest: Manifest
    golden: bool  # whether golden images came along


def pull(store: Store, product: str, release: str, folder: Path, by: str) -> Pulled:
    """Copy a release into the store that `folder` is, as its champion.

    Every file is compared with the hash in the manifest. What is there whole is not copied again.
    """
    target = FolderStore(folder)
    golden = has_golden(store, product, release)
    with trusted(store, product, release, folder) as source:
        manifest = read_manifest(source, product, release)
        if golden:
            copy(store, target, golden_key(product, release), None)
        copy_release(source, target, folder_of(product, release), manifest)
    promote(target, product, release, reason=f"pulled from {store.address}", by=by)
    write_sums(folder)
    return Pulled(manifest, golden)


@contextmanager
def trusted(store: Store, product: str, release: str, folder: Path) -> Iterator[Store]:
    """A store with the release to copy. Where this machine names keys, it is a copy beside, which
    one of them signed: what is not trusted changes nothing in `folder`."""
    if not store.seal.trust:
        yield store
        return
    with disk(f"'{folder}'"):
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        scratch = TemporaryDirectory(dir=folder, prefix=".pull-", suffix=".part")
    with scratch as place:
        fetch(store, product, release, Path(place) / "releases")
        yield FolderStore(Path(place))


def copy_release(source: Store, target: FolderStore, top: str, manifest: Manifest) -> None:
    """The files of a release, its manifest last, and no other file beside them."""
    keys = [*source.keys(top)]
    for key in sorted(keys, key=lambda key: key == top + MANIFEST):
        entry = manifest.files.get(key.removeprefix(top))
        copy(source, target, key, entry.sha256 if entry else None)
    for key in target.keys(top):
        if key not in keys:
            target.delete(key)


def has_golden(store: Store, product: str, release: str) -> bool:
    """Whether golden images lie beside a release."""
    return bool(store.keys(golden_key(product, release)))


def copy(store: Store, target: FolderStore, key: str, sha256: str | None) -> None:
    """Bring one object; StoreError where it is not what its hash promises. None: there is no
    promise but the store's own."""
    wanted = sha256 or store.digest(key)
    if target.keys(key) and target.digest(key) == wanted:
        return
    target.delete(key)
    with swept_beside(target.folder / key) as path:
        found = store.download(key, path)
        if found != wanted:
            raise damaged(
                f"'{key}' in the store {store.address}",
                f"its sha256 is {found[:16]}..., its manifest says {wanted[:16]}...",
            )
        target.put(key, path)


def write_sums(folder: Path) -> None:
    """The checksum file of all that the folder holds."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and counts(path, folder))
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in paths]
    with file_beside(folder / SUMS) as partial:
        partial.write_text("".join(lines))
        partial.replace(folder / SUMS)


def counts(path: Path, folder: Path) -> bool:
    """Whether a file is of the store: no lock, no scratch, and not the checksum file itself."""
    parts = path.relative_to(folder).parts
    return parts != (SUMS,) and not any(part.startswith(".") for part in parts)


def wrong_files(folder: Path) -> list[str]:
    """Where the folder differs from its checksum file, in words."""
    sums = folder / SUMS
    if not sums.is_file():
        raise StoreError(f"{folder} holds no {SUMS}; `inspectline pull PRODUCT --to {folder}`")
    lines = sums.read_text(errors="replace").splitlines()
    told = [LINE.fullmatch(line) for line in lines]
    if not told or not all(told):
        return [f"{SUMS} is damaged; pull again"]
    return [
        f"{name} is {'damaged' if (folder / name).is_file() else 'missing'}; pull again"
        for digest, name in (one.groups() for one in told if one)
        if not (folder / name).is_file() or sha256_of(folder / name) != digest
    ]
