"""Golden images of a release: an archive beside it in the store, for a check on another machine."""

import io
import zlib
from zipfile import BadZipFile, ZipFile

from tasks.documents.golden import Golden
from tasks.store.base import Store
from tasks.workspace.names import valid_name


def golden_key(product: str, release: str) -> str:
    """Where the store keeps them. They are not part of the release: its id stands without them."""
    return f"exhibits/{valid_name(product)}/{valid_name(release)}.golden.zip"


def open_golden(store: Store, product: str, release: str) -> ZipFile | None:
    """The archive, which holds golden.json and the images it names; None where there is none."""
    key = golden_key(product, release)
    content = store.get(key)
    if content is None:
        return None
    try:
        return ZipFile(io.BytesIO(content))
    except BadZipFile as error:
        raise Golden.damaged(f"'{key}' in the store {store.address}", str(error)) from error


def member(archive: ZipFile, name: str) -> bytes:
    """A file of an archive of golden images."""
    try:
        return archive.read(name)
    except (KeyError, BadZipFile, RuntimeError, zlib.error) as error:  # RuntimeError: encrypted
        raise Golden.damaged(f"'{name}' in the golden images", str(error)) from error
