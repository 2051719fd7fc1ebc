"""A served product: its champion, replaced when the store names another one."""

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.models.release_model import ReleaseModel
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.workspace import clock
from tasks.workspace.errors import LineError, StoreError
from tasks.workspace.files import write_json

LAST = (
    "served.json"  # in the product's cache: the last served release, for a start without the store
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """A loaded release that inspects."""

    model: ReleaseModel
    release: str
    algorithm: str
    since: str  # when it was loaded here


class Served:
    """Read `champion` once per image: it can change at any time."""

    def __init__(self, store: Store, product: str, cache: Path, device: str) -> None:
        """Load the champion; if the store is not available, the last served release."""
        self.store = store
        self.product = product
        self.cache = cache
        self.device = device
        self.trouble = ""  # why the last check of the store failed
        try:
            self.champion = self._load(None)
        except StoreError as error:
            if (last := self._last()) is None:
                raise
            self.champion = self._load(last)
            self._keep_trouble(error)

    def look(self) -> bool:
        """Load the store's champion if it has changed; whether it has.

        After a failure the present one stays in use.
        """
        try:
            pointer = champion(self.store, self.product)
            changed = pointer is not None and pointer.release != self.champion.release
            if changed and pointer is not None:
                self.champion = self._load(pointer.release)
                log.info("%s is now inspected by %s", self.product, self.champion.release)
            self.trouble = ""
            return changed
        except (LineError, OSError, ValueError, RuntimeError) as error:  # a damaged model included
            self._keep_trouble(error)
            return False

    def about(self) -> dict[str, Any]:
        """Product, release, algorithm, since when."""
        now = self.champion
        named = {"product": self.product, "release": now.release, "algorithm": now.algorithm}
        return {**named, "since": now.since, "trouble": self.trouble}

    def _load(self, release: str | None) -> Champion:
        folder = fetch(self.store, self.product, release, self.cache)
        manifest = Manifest.read(folder / MANIFEST)
        model = ReleaseModel.load(folder, self.device)
        height, width = model.inspector.preprocess.spec.size
        if not model.inspector.preprocess.spec.roi:  # the first image pays for no warming up
            model.inspector.inspect(np.zeros((height, width, 3), np.float32))
        write_json(self.cache / self.product / LAST, {"release": manifest.release})
        since = clock.now()
        return Champion(model, manifest.release, manifest.algorithm, since)

    def _last(self) -> str | None:
        path = self.cache / self.product / LAST
        return str(json.loads(path.read_text())["release"]) if path.is_file() else None

    def _keep_trouble(self, error: Exception) -> None:
        if not self.trouble:
            log.warning("%s stays with %s: %s", self.product, self.champion.release, error)
        self.trouble = str(error)


class ChampionWatch:
    """Checks for new champions at a fixed interval, in its own thread."""

    def __init__(self, served: Sequence[Served], every: float) -> None:
        self.served = served
        self.every = every
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="champions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()

    def _run(self) -> None:
        while not self._end.wait(self.every):
            for one in self.served:
                one.look()
