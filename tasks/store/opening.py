"""Open the store that a workspace names, and find a release in it."""

from pathlib import Path

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.spec.read import read_params
from tasks.store.base import Store
from tasks.store.fetch_release import fetch
from tasks.store.releases import releases
from tasks.store.seal import seal_of
from tasks.workspace.errors import StoreError, WorkspaceError
from tasks.workspace.home import cache_folder
from tasks.workspace.names import usable, valid_name
from tasks.workspace.paths import CARD, Workspace, find


def store_of(workspace: Workspace) -> Store:
    """The store that params.yaml names; a folder is taken from the workspace's root."""
    line = read_params(workspace.root).line
    address = line.store if line.store.startswith("s3://") else workspace.root / line.store
    store = open_store(address, single_writer=line.single_writer)
    store.seal = seal_of(workspace.root)
    return store


def seen_from(workspace: Workspace, address: str) -> str:
    """The address of a store for a reader at the workspace: relative to its root where it lies
    inside, or lay inside before the workspace was moved."""
    place, named = Path(address), read_params(workspace.root).line.store
    if not place.is_absolute():  # s3://bucket/prefix, or empty
        return address
    if place.is_relative_to(workspace.root):
        return str(place.relative_to(workspace.root))
    kept = Path(named).parts
    return named if place.parts[-len(kept) :] == kept else address


def locate(
    workspace: Path | None, product: str, release: str | None = None, address: str | None = None
) -> Path:
    """The folder of the release to use; fetched and verified where it is not a folder already.

    product: a release folder, or as of `source_of`.
    """
    folder = Path(product)
    if (folder / MANIFEST).is_file() or (folder / CARD).is_file():
        manifest = release_of(folder)
        named = (manifest.product, manifest.release) if manifest else (folder.name, "without id")
        seal_of(root_of(workspace)).check(folder, *named, f"{folder}/")
        return folder
    store, name, cache = source_of(workspace, product, address)
    return fetch(store, name, release, cache)


def source_of(
    workspace: Path | None, product: str, address: str | None = None
) -> tuple[Store, str, Path]:
    """Store of a product, the product's name in it, and the folder that keeps its releases here.

    product: `s3://bucket/prefix/NAME` of a store, or the name of one of the workspace's.
    address: of a store, which then needs no workspace: a folder, or `s3://bucket/prefix`.
    """
    if address is not None:
        return store_at(address, workspace), valid_name(product), cache_folder()
    if product.startswith("s3://"):
        address, _, name = product.rstrip("/").rpartition("/")
        store = open_store(address)
        store.seal = seal_of(root_of(workspace))
        return store, name, cache_folder()
    home = find(workspace)
    store = store_of(home)
    if product not in home.products and not (usable(product) and releases(store, product)):
        home.require(product)  # one that was removed has its releases still
    return store, product, home.scratch / "releases"


def store_at(address: str, workspace: Path | None = None) -> Store:
    """The store at an address that a person gave; StoreError where a folder is none."""
    if "://" not in address and not (Path(address) / "releases").is_dir():
        raise StoreError(
            f"{address} is no store: it holds no folder 'releases'; check the path, or mount it"
        )
    store = open_store(address)
    store.seal = seal_of(root_of(workspace))
    return store


def root_of(workspace: Path | None) -> Path | None:
    """The root of the workspace at a folder or around the current one; None without one."""
    try:
        return find(workspace).root
    except WorkspaceError:
        return None


def release_of(folder: Path) -> Manifest | None:
    """The manifest of a release's folder; None for a cell's."""
    path = folder / MANIFEST
    return Manifest.read(path) if path.is_file() else None


def open_store(address: str | Path, *, single_writer: bool = False, timeout: float = 12.0) -> Store:
    """The store at a folder or at `s3://bucket/prefix`; nothing is asked or created yet.

    single_writer: promise that nobody else promotes, for S3 servers without conditional writes.
    timeout: seconds an S3 server may stay silent; there are three attempts.
    """
    text = str(address)
    if text.startswith("s3://"):
        from tasks.store.s3 import S3Store

        return S3Store(text, single_writer=single_writer, timeout=timeout)
    if "://" in text or not text:
        raise StoreError(f"'{text}' is no store; give a folder or s3://bucket/prefix")
    from tasks.store.folder import FolderStore

    return FolderStore(Path(address))
