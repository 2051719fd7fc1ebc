"""Slots in which stages run, a bounded number at once, and their record with DVC."""

import os
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from flows.prefect_server import artifacts
from flows.prefect_server.run_log import RunLog
from flows.running import stop
from flows.running.process import prepare, worth_importing
from flows.running.progress import Terminal
from tasks.build.records import Cells, Stage
from tasks.models.device import may_have_gpu
from tasks.spec.read import read_params
from tasks.workspace.errors import CellError
from tasks.workspace.journal import Journal
from tasks.workspace.paths import Workspace


class Runner(AbstractContextManager):
    """Use as a context; `slot` may be asked for from any number of threads."""

    def __init__(
        self,
        workspace: Workspace,
        cells: Cells,
        stages: Sequence[Stage],
        after: Sequence[str] = (),
        slots: int | None = None,
        terminal: Terminal | None = None,
        deliver: Callable[[Stage], None] = lambda stage: None,
    ) -> None:
        """after: what else the run means to do, for its journal; slots: in place of those that
        params.yaml names; deliver: called with each stage once it is up to date."""
        line = read_params(workspace.root).line
        self.workspace = workspace
        self.cells = cells
        self.retries = line.retries
        self.devices = devices(line.device)
        of_line = len(self.devices) if line.slots == "auto" else line.slots
        self.slots = slots or of_line
        self.deliver = deliver
        self.threads = threads(self.slots)
        self._free: queue.Queue[str] = queue.Queue()
        for slot in range(self.slots):
            self._free.put(self.devices[slot % len(self.devices)])
        self.log = RunLog()
        self.terminal = terminal or Terminal(len(stages) + len(after), log=self.log)
        self.journal = Journal(workspace, [*map(str, stages), *after], self.slots)
        prepare(worth_importing(stages))

    def __enter__(self) -> "Runner":
        self.journal.__enter__()
        self.log.__enter__()
        self.terminal.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.terminal.__exit__(*error)
        artifacts.all_sent()
        self.log.__exit__(*error)
        self.journal.__exit__(*error)

    @contextmanager
    def recorded(self, name: str, device: str = "") -> Iterator[None]:
        """What is done inside stands in the journal, with how it ended."""
        self.journal.begin(name, device)
        try:
            yield
        except Exception as error:
            state = "stopped" if isinstance(error, stop.Stopped) else "failed"
            self.journal.end(name, state, str(error))
            raise
        self.journal.end(name, "done")

    @contextmanager
    def shown(self, name: str) -> Iterator[None]:
        """What is done inside stands in the journal and on the terminal."""
        self.terminal.start(name)
        outcome = "failed "
        try:
            with self.recorded(name):
                yield
            outcome = "done   "
        finally:
            self.terminal.end(name, outcome)

    @contextmanager
    def slot(self, stage: Stage) -> Iterator["Slot"]:
        """A device for a stage, when one is free. The stage is recorded when the block ends well.

        A CellError says where an input changed meanwhile: then it stays stale.
        """
        name = str(stage)
        before = self.cells.inputs(stage)
        slot = Slot(self, name)
        self.terminal.start(name)
        outcome = "failed "
        slot.device = self._free.get()
        try:
            with self.recorded(name, slot.device):
                yield slot
                if self.cells.commit([(stage, before)]):
                    raise CellError(f"{name}: an input changed while it ran; run again to use it")
            outcome = "done   "
        except stop.Stopped:
            outcome = "stopped"
            raise
        except Exception:
            self.cells.ignore(stage)
            raise
        finally:
            self._free.put(slot.device)
            slot.artifact.end()
            self.terminal.end(name, outcome)


class Slot:
    """Where a stage runs, and where its progress is shown: terminal, journal, Prefect server."""

    def __init__(self, runner: Runner, name: str) -> None:
        self.runner = runner
        self.name = name
        self.device = ""
        self.artifact = artifacts.Progress(name)

    def report(self, step: str, fraction: float, **metrics: float) -> None:
        self.runner.terminal.update(self.name, step, fraction, metrics)
        self.runner.journal.tell(self.name, step, fraction, metrics)
        self.artifact.update(fraction)

    def say(self, text: str) -> None:
        self.runner.terminal.note(f"  {self.name}: {text}")


def devices(device: str) -> list[str]:
    """What cells may run on: every GPU for `auto`, or the CPU."""
    if device != "auto":
        return [device]
    if not may_have_gpu():
        return ["cpu"]
    import torch

    return [f"cuda:{n}" for n in range(torch.cuda.device_count())] or ["cpu"]


def threads(slots: int) -> int:
    """Threads of torch in each cell; 0 leaves it to OMP_NUM_THREADS, which the user has set."""
    if "OMP_NUM_THREADS" in os.environ:
        return 0
    return max(1, (os.cpu_count() or 1) // slots)
