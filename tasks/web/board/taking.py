"""Bring dropped files into their product, by `inspectline ingest` or `inspectline new` in a process
of its own, with a record of who added what."""

import json
import re
import shutil
import threading
from pathlib import PurePosixPath
from typing import Any

from tasks.products.changing import PATIENCE
from tasks.store.champion import record
from tasks.store.opening import store_of
from tasks.web.board.drop import Drop
from tasks.web.board.runs import Start
from tasks.web.refused import Refused
from tasks.workspace.errors import LineError
from tasks.workspace.lock import run_lock
from tasks.workspace.paths import Workspace
from tasks.workspace.secrets import without_secrets

STEP = re.compile(r": \d+ s$")  # a line that tells only what goes on
LISTED = 200  # files that a record names
JsonObject = dict[str, Any]


class Taking:
    """start: starts a command of the line."""

    def __init__(self, workspace: Workspace, start: Start) -> None:
        self.workspace, self.start = workspace, start

    def begin(self, drop: Drop, by: str) -> None:
        """Begin to take the files of a drop; `drop.work` tells how it goes."""
        with drop.busy:
            if drop.work["state"] == "working":
                raise Refused(409, "these files are being taken just now")
            if not drop.files:
                raise Refused(409, "there is no file to take")
            drop.work = {"state": "working"}
        threading.Thread(target=self._work, args=(drop, by), daemon=True).start()

    def _work(self, drop: Drop, by: str) -> None:
        outcome: JsonObject = {"state": "failed", "error": "this failed inside the board"}
        try:
            with run_lock(self.workspace, PATIENCE):
                outcome = self._begin(drop, by) if drop.begins else self._ingest(drop, by)
        except (LineError, OSError, Refused) as error:
            outcome = {"state": "failed", "error": str(error)}
        finally:
            with drop.busy:
                if outcome["state"] == "done":
                    drop.files.clear()
                    shutil.rmtree(drop.source, ignore_errors=True)
                    drop.source.mkdir(parents=True, exist_ok=True)
                drop.work = outcome

    def _ingest(self, drop: Drop, by: str) -> JsonObject:
        self.workspace.require(drop.product)  # it may have been removed meanwhile
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


def reason_in(said: str) -> str:
    """Why a command failed, of what it said."""
    return (said.partition("Error: ")[2] or said).strip()[-2000:] or "the command was killed"
