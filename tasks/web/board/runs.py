"""Runs that the board starts and stops: each is a command of its own, with its output in a file.

`.inspectline/board/<time>.json` says what was started, by whom, and how it ended; the output stands
beside it in `<time>.log`. A run outlives the board, so a board that is started later shows it too.
"""

import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Protocol

from tasks.web.refused import Refused
from tasks.workspace import clock
from tasks.workspace.errors import DataError, WorkspaceError
from tasks.workspace.files import need_space, write_json
from tasks.workspace.lock import in_use
from tasks.workspace.paths import Workspace
from tasks.workspace.process import began
from tasks.workspace.secrets import without_secrets
from tasks.workspace.stopping import ask_to_stop, holder, stop_run

KEPT = 20  # runs whose output is kept
LEAST = 50_000_000  # bytes that must be free, or a run would end before it can say why
PART = 1 << 16  # bytes of output in one answer
NAME = re.compile(r"\d{8}T\d{6}\.\d{6}")
JsonObject = dict[str, Any]


class Process(Protocol):
    """What was started, as of `subprocess`."""

    pid: int

    def wait(self) -> int: ...


# the words of a command, who gives it, and where its output goes
Start = Callable[[list[str], str, IO[bytes]], Process]


class Runs:
    """Thread-safe."""

    def __init__(self, workspace: Workspace, start: Start) -> None:
        self.workspace, self.start = workspace, start
        self.folder = workspace.scratch / "board"
        self._busy = threading.Lock()

    def begin(self, products: list[str], by: str) -> JsonObject:
        """What was started, for these products or, without any, for all; 409 with what is in
        progress instead, 507 on a disk that is full."""
        with self._busy:
            if in_use(self.workspace):
                found = holder(self.workspace) or "something that has only just begun"
                raise Refused(409, f"the workspace is in use: {found}; wait, or stop it")
            if (last := self.now()) and last["alive"]:
                what = f"a run by {last['by']} has just begun (process {last['pid']})"
                raise Refused(409, f"the workspace is in use: {what}; wait, or stop it")
            try:
                need_space(self.workspace.root, LEAST, "the output of a run, with room to begin,")
            except DataError as error:
                raise Refused(507, str(error)) from None
            return self._begin(products, by)

    def _begin(self, products: list[str], by: str) -> JsonObject:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._forget()
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        with (self.folder / f"{name}.log").open("wb") as log:
            words = ["run", *(word for product in products for word in ("-p", product))]
            process = self.start(words, by, log)
        about: JsonObject = {"name": name, "products": products, "by": by, "time": clock.now()}
        about |= {"pid": process.pid, "began": began(process.pid), "code": None, "ended": None}
        write_json(self.folder / f"{name}.json", about)
        threading.Thread(target=self._await, args=(process, about), daemon=True).start()
        return about | {"alive": True}

    def _await(self, process: Process, about: JsonObject) -> None:
        """Note how a run ended; where this board ends first, nobody does."""
        code = process.wait()
        with suppress(OSError):
            write_json(
                self.folder / f"{about['name']}.json", about | {"code": code, "ended": clock.now()}
            )

    def now(self) -> JsonObject | None:
        """The last run that was started on a board, with `alive`: whether it goes on."""
        for path in sorted(self.folder.glob("*.json"), reverse=True):
            with suppress(OSError, ValueError, LookupError, TypeError):
                about: JsonObject = json.loads(path.read_text("utf-8"))
                alive = about["code"] is None and 0 < about["began"] == began(about["pid"])
                return about | {"alive": alive}
        return None

    def stop(self, by: str, pid: int) -> JsonObject:
        """Ask the run that a page showed to stop; 409 where it is not there, or out of reach."""
        last = self.now()
        try:
            if last and last["alive"] and last["pid"] == pid and holder(self.workspace) is None:
                ask_to_stop(self.workspace, pid, last["began"], by)  # it has only just begun
            else:
                stop_run(self.workspace, by, pid)
        except WorkspaceError as error:
            raise Refused(409, str(error)) from None
        return {"stopped": pid}

    def held(self) -> JsonObject | None:
        """Who holds the workspace now."""
        found = holder(self.workspace)
        if found is None:
            return None
        return {"pid": found.pid, "by": found.by, "what": found.what, "host": found.host}

    def output(self, name: str | None, at: int | None) -> JsonObject:
        """Some of a run's output, whole lines, from the byte `at` on, and where the next begins.

        name: of the run, by default the last; without `at` its end. `over`: nothing more will come.
        """
        last = self.now()
        name = name or (last["name"] if last else "")
        if not NAME.fullmatch(name) or not (self.folder / f"{name}.log").is_file():
            raise Refused(404, "there is no output of such a run")
        going = bool(last and last["alive"] and last["name"] == name)
        path = self.folder / f"{name}.log"
        size = path.stat().st_size
        start = max(0, size - PART) if at is None else min(at, size)
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(PART)
        if at is None and start:  # not in the midst of a line
            start, data = start + data.find(b"\n") + 1, data[data.find(b"\n") + 1 :]
        if (cut := data.rfind(b"\n") + 1) and (going or len(data) == PART):
            data = data[:cut]
        elif going and len(data) < PART:
            data = b""  # the line is not whole yet
        text = without_secrets(data.decode("utf-8", "replace"))
        after = start + len(data)
        over = not going and after >= path.stat().st_size
        return {"name": name, "at": start, "text": text, "next": after, "over": over}

    def _forget(self) -> None:
        for path in sorted(self.folder.glob("*.log"), reverse=True)[KEPT - 1 :]:
            _forget(path)


def _forget(log: Path) -> None:
    log.unlink(missing_ok=True)
    log.with_suffix(".json").unlink(missing_ok=True)
