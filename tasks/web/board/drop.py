"""Files for a product that somebody drops onto the page, and the place of each in the layout."""

import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from tasks.arrival.labels import MASK, SKIP, check_label
from tasks.arrival.safe_paths import safe_path
from tasks.arrival.words import plain
from tasks.images.layout import layout_problem, normalised_name
from tasks.web.board.users import Role
from tasks.web.refused import Refused
from tasks.workspace.errors import DataError
from tasks.workspace.secrets import without_secrets

LABEL = re.compile(r"\w(?:[\w .+-]{0,62}\w)?")  # of a defect: it becomes a word of a command
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
        special = label in (MASK, SKIP)
        if split in ("train", "test") and LABEL.fullmatch(label) and not special:
            place = PurePosixPath(split, label, name)
            if problem := layout_problem(place):
                raise Refused(422, f"{shown}: {problem}")
            return place
    raise Refused(
        422, f"{shown}: '{kind}' says not what it shows; give the defect a short name in letters"
    )
