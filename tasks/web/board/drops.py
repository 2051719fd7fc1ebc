"""Files that people drop onto the page, on their way into a product.

Each drop gathers its files in a scratch folder of the workspace, laid out as a source of `ingest`:
each file is looked at when it comes, and appears there whole or not at all. Then `inspectline
ingest`, or `inspectline new`, takes the folder, in a process of its own. What is left is removed
after the board has ended.
"""

import hashlib
import json
import re
import secrets
import shutil
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.arrival.labels import check_label
from tasks.arrival.safe_paths import safe_path
from tasks.arrival.words import plain
from tasks.images.decode import decode_image
from tasks.images.layout import layout_problem, normalised_name
from tasks.products.changing import PATIENCE
from tasks.store.champion import record
from tasks.store.opening import store_of
from tasks.web.board.runs import Start
from tasks.web.board.users import Role
from tasks.web.refused import Refused
from tasks.workspace.errors import DataError, LineError
from tasks.workspace.files import need_space
from tasks.workspace.lock import run_lock
from tasks.workspace.names import check_product_name
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder
from tasks.workspace.secrets import without_secrets

LARGEST = 200_000_000  # bytes of one file
FILES = 5000  # of one drop
OPEN = 16  # drops at once
IDLE = 3600.0  # seconds after which a drop that nobody touches makes room for another
TOLD = 60.0  # seconds for a page to ask what came of its files
SPARE = 500_000_000  # bytes that stay free on the disk
LABEL = re.compile(r"\w(?:[\w .+-]{0,62}\w)?")  # of a defect: it becomes a word of a command
STEP = re.compile(r": \d+ s$")  # a line that tells only what goes on
LISTED = 200  # files that a record names
JsonObject = dict[str, Any]


@dataclass
class Drop:
    """Some files for a product. begins: whether it is a new one; work: how the taking goes."""

    product: str
    begins: bool
    folder: Path
    touched: float = field(default_factory=time.monotonic)
    files: dict[str, PurePosixPath] = field(default_factory=dict)  # by the sha256 of the content
    work: JsonObject = field(default_factory=lambda: {"state": "open"})
    busy: threading.Lock = field(default_factory=threading.Lock)

    @property
    def role(self) -> Role:
        """What a person needs to fill and take it."""
        return "promote" if self.begins else "label"

    @property
    def source(self) -> Path:
        return self.folder / "files"

    @property
    def log(self) -> Path:
        return self.folder / "said.log"

    def told(self) -> JsonObject:
        """How the taking goes, with the last line that the command said."""
        if self.work["state"] != "working" or not self.log.is_file():
            return self.work
        lines = self.log.read_text("utf-8", "replace").splitlines()
        return self.work | {"step": without_secrets(lines[-1]) if lines else ""}

    @property
    def labels(self) -> list[str]:
        """Options that say what each folder of the source holds."""
        folders = sorted({place.parent for place in self.files.values()})
        return [word for one in folders for word in ("--labels", f"{one.name}={one}")]


class Drops:
    """Thread-safe. start: starts a command of the line."""

    def __init__(self, workspace: Workspace, start: Start) -> None:
        self.workspace, self.start = workspace, start
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
        data = part.read_bytes()
        with self._decoding:
            try:
                decode_image(data, name)
            except DataError as error:
                raise Refused(422, str(error)) from None
        digest = hashlib.sha256(data).hexdigest()
        with drop.busy:
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
        return {"file": str(place), "files": len(drop.files)}

    def take(self, drop: Drop, by: str) -> None:
        """Begin to bring the files into the product; `drop.work` tells how it goes."""
        with drop.busy:
            if drop.work["state"] == "working":
                raise Refused(409, "these files are being taken just now")
            if not drop.files:
                raise Refused(409, "there is no file to take")
            drop.work = {"state": "working"}
        threading.Thread(target=self._work, args=(drop, by), daemon=True).start()

    def _work(self, drop: Drop, by: str) -> None:
        try:
            with run_lock(self.workspace, PATIENCE):
                drop.work = self._begin(drop, by) if drop.begins else self._ingest(drop, by)
        except (LineError, OSError, Refused) as error:
            drop.work = {"state": "failed", "error": str(error)}
        except Exception:
            drop.work = {"state": "failed", "error": "this failed inside the board"}
            raise
        if drop.work["state"] == "done":
            drop.files.clear()
            shutil.rmtree(drop.source, ignore_errors=True)
            drop.source.mkdir(parents=True, exist_ok=True)

    def _ingest(self, drop: Drop, by: str) -> JsonObject:
        words = ["ingest", drop.product, str(drop.source), *drop.labels, "--json"]
        code, said = self._run(drop, words, by)
        told = next((line for line in said.splitlines() if line.startswith('{"new"')), None)
        if told is None:
            return {"state": "failed", "error": reason_in(said)}
        found: JsonObject = json.loads(told)
        done = {"state": "done", "note": "", **found}
        if found["new"]:
            done["note"] = self._record(drop, by, found)
        return done if code == 0 or found["refused"] else done | {"note": reason_in(said)}

    def _begin(self, drop: Drop, by: str) -> JsonObject:
        words = ["new", drop.product, "--from", str(drop.source), *drop.labels]
        code, said = self._run(drop, words, by)
        if code:
            return {"state": "failed", "error": reason_in(said)}
        found: JsonObject = {"new": sorted(map(str, drop.files.values()))}
        note = self._record(drop, by, found)
        return {"state": "done", "said": said, "note": note, **found}

    def _run(self, drop: Drop, words: list[str], by: str) -> tuple[int, str]:
        """Exit code and output of a command."""
        with drop.log.open("wb") as log:
            code = self.start(words, by, log).wait()
        said = without_secrets(drop.log.read_text("utf-8", "replace"))
        said = "".join(line for line in said.splitlines(True) if not STEP.search(line))
        return code, said.replace(f"{drop.source}/", "").replace(str(drop.source), "the files")

    def _record(self, drop: Drop, by: str, found: JsonObject) -> str:
        """Leave a record of who added what in the store; why that was not possible."""
        counts: dict[str, int] = {}
        for path in found["new"]:
            place = "/".join(PurePosixPath(path).parts[:2])
            counts[place] = counts.get(place, 0) + 1
        what = ", ".join(f"{place} {count} new" for place, count in sorted(counts.items()))
        body = {"product": drop.product, "by": by, "reason": "dropped on the board", "what": what}
        try:
            record(store_of(self.workspace), drop.product, "images", body | self._named(found))
        except LineError as error:
            return f"the images are in, but no record of it could be written: {error}"
        return ""

    def _named(self, found: JsonObject) -> JsonObject:
        return {"images": found["new"][:LISTED], "count": len(found["new"])}

    def _make_room(self) -> None:
        """Forget drops that nobody touches; 503 where all are at work."""
        now = time.monotonic()
        old = {n: d for n, d in self._open.items() if d.work["state"] != "working"}
        for name, drop in old.items():
            if now - drop.touched > (TOLD if drop.work["state"] == "done" else IDLE):
                shutil.rmtree(self._open.pop(name).folder, ignore_errors=True)
        if len(self._open) >= OPEN:
            raise Refused(429, "too many people add files just now; try again in a few minutes")


def place_of(name: str, kind: str) -> PurePosixPath:
    """The place of a file in the layout; Refused for a name or a kind that has none."""
    shown = json.dumps(name, ensure_ascii=False)[1:-1]
    split, _, label = kind.partition("/")
    label = plain(label)
    try:
        name = normalised_name(safe_path(name).name)
    except ValueError as error:
        raise Refused(422, f"{shown}: {error}") from None
    if not name.isprintable() or name.startswith("."):
        raise Refused(422, f"{shown}: a name that cannot be used; rename the file")
    with suppress(DataError):
        check_label(label)
        special = label in ("mask", "skip")
        if split in ("train", "test") and LABEL.fullmatch(label) and not special:
            place = PurePosixPath(split, label, name)
            if problem := layout_problem(place):
                raise Refused(422, f"{shown}: {problem}")
            return place
    raise Refused(
        422, f"{shown}: '{kind}' says not what it shows; give the defect a short name in letters"
    )


def reason_in(said: str) -> str:
    """Why a command failed, of what it said."""
    return (said.partition("Error: ")[2] or said).strip()[-2000:] or "the command was killed"
