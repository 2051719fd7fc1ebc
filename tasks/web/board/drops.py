"""Files that people drop onto the page, on their way into a product.

Each drop gathers its files in a scratch folder of the workspace, laid out as a source of `ingest`:
each file is looked at when it comes, and appears there whole or not at all. What is left is removed
after the board has ended.
"""

import hashlib
import secrets
import shutil
import threading
import time
import uuid
from contextlib import ExitStack
from pathlib import Path

from tasks.images.decode import decode_image
from tasks.web.board.drop import Drop, JsonObject, place_of
from tasks.web.refused import Refused
from tasks.workspace.errors import DataError
from tasks.workspace.files import need_space
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder

LARGEST = 200_000_000  # bytes of one file
FILES = 5000  # of one drop
OPEN = 16  # drops at once
IDLE = 3600.0  # seconds after which a drop that nobody touches makes room for another
TOLD = 60.0  # seconds for a page to ask what came of its files
SPARE = 500_000_000  # bytes that stay free on the disk


class Drops:
    """Thread-safe."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._open: dict[str, Drop] = {}
        self._busy = threading.Lock()
        self._decoding = threading.Lock()  # one at a time: an image may take much memory
        self._kept = ExitStack()
        self._folder: Path | None = None

    def open(self, product: str, begins: bool) -> str:
        """The id of a new drop; Refused where the product is not there, or already is."""
        if begins:
            check_product_name(product)
            if product in self.workspace.products:
                raise Refused(409, f"there is a product '{product}' already; add images to it")
        else:
            self.workspace.require(product)
        name = secrets.token_urlsafe(12)
        with self._busy:
            self._make_room()
            if self._folder is None:
                self._folder = self._kept.enter_context(scratch_folder(self.workspace))
            folder = self._folder / uuid.uuid4().hex
            (folder / "files").mkdir(parents=True)
            self._open[name] = Drop(product, begins, folder)
        return name

    def drop(self, name: str) -> Drop:
        found = self._open.get(name)
        if found is None:
            raise Refused(404, "these files are not here any more; drop them again")
        found.touched = time.monotonic()
        return found

    def close(self, name: str) -> None:
        """Forget a drop and its files, but not while they are taken."""
        with self._busy:
            if self.drop(name).work["state"] == "working":
                raise Refused(409, "these files are being taken just now")
            shutil.rmtree(self._open.pop(name).folder, ignore_errors=True)

    def room(self, drop: Drop, size: int) -> Path:
        """Where the bytes of one more file may be written; Refused without room for it."""
        if drop.work["state"] == "working":
            raise Refused(409, "these files are being taken just now; drop more afterwards")
        if len(drop.files) >= FILES:
            raise Refused(413, f"at most {FILES} files at once; add these first")
        try:
            need_space(drop.folder, size + SPARE, "the file, with what must stay free,")
        except DataError as error:
            raise Refused(507, str(error)) from None
        return drop.folder / f"{uuid.uuid4().hex}.part"

    def add(self, drop: Drop, part: Path, name: str, kind: str) -> JsonObject:
        """Take a file that has come, named and meant so, into the drop; Refused with its name and
        what is wrong. kind: train/good, test/good, test/<defect>."""
        place = place_of(name, kind)
        with self._decoding:
            data = part.read_bytes()
            try:
                decode_image(data, name)
            except DataError as error:
                raise Refused(422, str(error)) from None
        digest = hashlib.sha256(data).hexdigest()
        with drop.busy:
            if drop.work["state"] == "working":
                raise Refused(409, f"{name}: came while the others were taken; drop it again")
            if same := drop.files.get(digest):
                raise Refused(409, f"{name}: has the content of {same}, which is here already")
            if len(drop.files) >= FILES:
                raise Refused(413, f"at most {FILES} files at once; add these first")
            if (drop.source / place).exists():
                place = place.with_name(f"{place.stem}-{digest[:8]}{place.suffix}")
            target = drop.source / place
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
            drop.files[digest] = place
            drop.work = {"state": "open"}
        return {"file": str(place), "files": len(drop.files)}

    def _make_room(self) -> None:
        """Forget drops that nobody touches; Refused where too many are in use."""
        now = time.monotonic()
        old = {n: d for n, d in self._open.items() if d.work["state"] != "working"}
        for name, drop in old.items():
            if now - drop.touched > (TOLD if drop.work["state"] == "done" else IDLE):
                shutil.rmtree(self._open.pop(name).folder, ignore_errors=True)
        if len(self._open) >= OPEN:
            raise Refused(429, "too many people add files just now; try again in a few minutes")
