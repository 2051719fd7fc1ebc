"""A served product: its champion, replaced when the store names another one."""

import json
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.documents.manifest import MANIFEST, Manifest
from tasks.models.release_model import ReleaseModel
from tasks.store.base import Store
from tasks.store.champion import champion
from tasks.store.fetch_release import fetch
from tasks.workspace import clock
from tasks.workspace.errors import AwayError, LineError, StoreError
from tasks.workspace.files import write_json
from tasks.workspace.secrets import without_secrets

LAST = (
    "served.json"  # in the product's cache: the last served release, for a start without the store
)
LEAVING = 60.0  # seconds to wait at the end for a look that is under way
PATIENCE = 300.0  # seconds for a look at all products; a large release takes a while to load
SHORTEST, LONGEST = 30.0, 600.0  # seconds before a release that could not be used is tried again
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

    def __init__(
        self, store: Store, product: str, cache: Path, device: str, fixed: str | None = None
    ) -> None:
        """Load the champion; if that fails, the last served release. fixed: a release to load
        instead, and to stay with."""
        self.store = store
        self.product = product
        self.cache = cache
        self.device = device
        self.trouble = ""  # why the last look at the store failed
        self._refused = Refusal()
        self._fixed = fixed
        if fixed:
            self.champion = self._load(fixed)
            return
        try:
            self.champion = self._load(None)
        except Exception as error:  # whatever a store or a model may bring up
            if (last := self._last()) is None:
                raise _told(product, error) from error
            self.champion = self._load(last)
            self._keep_trouble(error)

    def look(self) -> bool:
        """Load the store's champion if it has changed; whether it has.

        After any failure the present one stays in use. A release that cannot be used is not tried
        again at every look.
        """
        if self._fixed:
            return False
        try:
            pointer = champion(self.store, self.product)
            if pointer is None:  # a folder that is not mounted looks like that, too
                raise StoreError(f"the store {self.store.address} names no champion any more")
            if pointer.release == self.champion.release:
                self.trouble = ""
                return False
            if not self._refused.due(pointer.release):
                self.trouble = self._refused.reason
                return False
            try:
                self.champion = self._load(pointer.release)
            except AwayError:
                raise
            except Exception as error:
                self._refused.note(pointer.release, in_words(error))
                raise
            log.info("%s is now inspected by %s", self.product, self.champion.release)
            self.trouble = ""
            return True
        except Exception as error:
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
        model.warm_up()  # a model that cannot score is not taken up
        try:
            write_json(self.cache / self.product / LAST, {"release": manifest.release})
        except OSError as error:
            log.error("%s: a start without the store would not know it: %s", self.product, error)
        return Champion(model, manifest.release, manifest.algorithm, clock.now())

    def _last(self) -> str | None:
        """The release that was served last; None where that is not known."""
        try:
            found = json.loads((self.cache / self.product / LAST).read_text())["release"]
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return found if isinstance(found, str) else None

    def _keep_trouble(self, error: Exception) -> None:
        if not self.trouble:
            stays = self.champion.release
            log.warning("%s stays with %s: %s", self.product, stays, in_words(error))
        self.trouble = in_words(error)


def in_words(error: BaseException) -> str:
    if isinstance(error, LineError):
        return str(error)
    return without_secrets(f"{type(error).__name__}: {error}")


def _told(product: str, error: Exception) -> LineError:
    if isinstance(error, LineError):
        return error
    return StoreError(
        f"the champion of {product} cannot be loaded ({in_words(error)}); promote another release, "
        "or roll back"
    )


class Refusal:
    """A release that could not be used, and when it is tried again."""

    def __init__(self) -> None:
        self.release, self.reason, self._pause, self._not_before = "", "", 0.0, 0.0

    def due(self, release: str) -> bool:
        return release != self.release or time.monotonic() >= self._not_before

    def note(self, release: str, reason: str) -> None:
        """It failed now, for this reason; the pause doubles."""
        self.reason = reason
        again = release == self.release
        self._pause = min(2 * self._pause, LONGEST) if again else SHORTEST
        self.release, self._not_before = release, time.monotonic() + self._pause


class ChampionWatch:
    """Looks for new champions at a fixed interval, in its own thread, whatever comes up."""

    def __init__(self, served: Sequence[Served], every: float) -> None:
        self.served = served
        self.every = every
        self._end = threading.Event()
        self._looked = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="champions", daemon=True)

    def start(self) -> None:
        self._looked = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for a champion that is just being loaded: a process that goes while a
        runtime starts its threads is aborted by it."""
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(LEAVING)

    @property
    def trouble(self) -> str:
        """Why champions are not looked for just now; empty where they are."""
        silent = time.monotonic() - self._looked
        if self._thread.ident is not None and not self._thread.is_alive():
            return "nobody looks for champions any more; restart the service"
        if silent > self.every + PATIENCE:
            return f"the look for champions has taken {silent:.0f} s"
        return ""

    def _run(self) -> None:
        while not self._end.wait(self.every):
            for one in self.served:
                if self._end.is_set():
                    return
                try:
                    one.look()
                except BaseException as error:  # a library in another language raises no Exception
                    one.trouble = in_words(error)
                    log.error("%s: %s", one.product, one.trouble)
            self._looked = time.monotonic()
