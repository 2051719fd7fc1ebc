"""A product that is served: its champion at work, exchanged when the store names another."""

import json
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.models.release_model import Judge
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.workspace.errors import LineError, StoreError
from tasks.workspace.files import write_json

LAST = "served.json"  # in the product's cache: the release served last, for a start without store
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Champion:
    """A release that inspects."""

    judge: Judge
    release: str
    algorithm: str
    since: str  # when it was taken up here


class Served:
    """Use `champion` once an image: it may be another the next time."""

    def __init__(self, store: Store, product: str, cache: Path, device: str) -> None:
        """Load the champion; where the store is away, the one that was served last."""
        self.store = store
        self.product = product
        self.cache = cache
        self.device = device
        self.trouble = ""  # why the last look at the store failed
        try:
            self.champion = self._load(None)
        except StoreError as error:
            if (last := self._last()) is None:
                raise
            self.champion = self._load(last)
            self._note(error)

    def look(self) -> bool:
        """Take up the store's champion where it is another one; whether it was.

        What fails leaves the present one at work.
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
            self._note(error)
            return False

    def about(self) -> dict[str, Any]:
        """Product, release, algorithm, since when."""
        now = self.champion
        told = {"product": self.product, "release": now.release, "algorithm": now.algorithm}
        return {**told, "since": now.since, "trouble": self.trouble}

    def _load(self, release: str | None) -> Champion:
        folder = fetch(self.store, self.product, release, self.cache)
        manifest = Manifest.read(folder / MANIFEST)
        judge = Judge.load(folder, self.device)
        height, width = judge.inspector.preprocess.spec.size
        if not judge.inspector.preprocess.spec.roi:  # the first image pays for no warming up
            judge.inspector.inspect(np.zeros((height, width, 3), np.float32))
        write_json(self.cache / self.product / LAST, {"release": manifest.release})
        since = datetime.now(UTC).isoformat(timespec="seconds")
        return Champion(judge, manifest.release, manifest.algorithm, since)

    def _last(self) -> str | None:
        path = self.cache / self.product / LAST
        return str(json.loads(path.read_text())["release"]) if path.is_file() else None

    def _note(self, error: Exception) -> None:
        if not self.trouble:
            log.warning("%s stays with %s: %s", self.product, self.champion.release, error)
        self.trouble = str(error)


class Watch:
    """Looks for new champions every so many seconds, from a thread of its own."""

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
