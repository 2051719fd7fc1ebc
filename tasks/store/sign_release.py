"""Sign a release that is in the store already, as it is there."""

import copy
from pathlib import Path

from tasks.store.base import Store
from tasks.store.fetch_release import fetch
from tasks.store.release import folder_of
from tasks.store.seal import SIGNATURE, Seal
from tasks.workspace.errors import SpecError


def sign_release(store: Store, product: str, release: str, cache: Path) -> bool:
    """Whether the release was signed now; false where our key had signed it before.

    Who calls this vouches for what the store holds: files are compared with the release's id, but
    the manifest is taken as it is. cache: a folder to fetch it into, which is of no use later.
    """
    if store.seal.key is None:
        raise SpecError("line.signing names no key; give {key: FILE} in params.yaml")
    plain = copy.copy(store)
    plain.seal = Seal()
    folder = fetch(plain, product, release, cache)
    if store.seal.signed(folder):
        return False
    signature = store.seal.sign(folder)
    key = folder_of(product, release) + SIGNATURE
    store.delete(key)
    store.put(key, signature)
    return True
