"""Makespan of cells on workers, with the line's own dispatch and a fake clock.

python tests/benchmarks/bench_dispatch_simulation.py [--products 1000] [--cells 8] [--workers 64]

The coordinator, its batches and their order are those of the line; the Prefect server, the workers
and the time are not. A cell takes a time of a log-normal distribution; one of a hundred fails on
its first worker and goes to another one; one of the workers may be slow. Prints the makespan
against the lower bound (all work divided by all workers, or the longest cell), with durations that
were measured before, as after a first run, and without; and what the coordinator takes.
"""

import argparse
import resource
import tempfile
import time
import uuid
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from flows.fleet import coordinator
from flows.fleet.batch_status import BatchStatus
from flows.fleet.batches import Batch
from flows.fleet.coordinator import Dispatch
from flows.fleet.pace import Pace, Unit, batches
from flows.running.plan import Plan
from tasks.build.records import Stage
from tasks.spec.schema import Line, Workers
from tasks.workspace.journal import Journal
from tasks.workspace.paths import Workspace

ALGORITHMS = (
    *("padim", "patchcore", "fastflow", "simplenet", "vae", "fcdd", "cpr", "riad"),
    *("kdad", "favae", "msflow", "pni"),
)
START = 12.0  # seconds until a worker begins a batch: check out, import
FAILED = "the disk is full"


class Clock:
    """The time of a simulation; it moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Machine:
    """A worker: its batch, and when each of its units is ready."""

    name: str
    speed: float = 1.0  # times as long as others take
    run: uuid.UUID | None = None
    begun: float = 0.0
    ready: list[tuple[float, Unit, bool]] = field(default_factory=list)  # at, what, failed


class Farm:
    """A Prefect server and its workers: what a `Sender` and its client are to a coordinator."""

    def __init__(
        self,
        clock: Clock,
        machines: list[Machine],
        seconds: dict[Stage, float],
        failing: set[Stage],
        measured: Pace,
        most: int,
    ) -> None:
        self.clock, self.machines, self.seconds = clock, machines, seconds
        self.failing, self.pace, self.most = failing, measured, most
        self.queue: deque[uuid.UUID] = deque()
        self.sent: dict[uuid.UUID, list[Unit]] = {}
        self.ended: set[uuid.UUID] = set()
        self.busy = 0.0  # seconds of all workers
        self.batches = self.races = 0

    def count(self) -> int:
        return len(self.machines)

    def send(self, waiting: list[Unit]) -> list[Batch]:
        parts = batches(waiting, self.pace.seconds(waiting), self.count(), self.most)
        made = []
        for part in parts:
            run = uuid.uuid4()
            self.sent[run] = part
            self.queue.append(run)
            made.append(Batch(run, "batch", part, heard=self.clock.now))
        self.batches += len(parts)
        return made

    def mark(self, run: uuid.UUID, state: Any) -> None:
        self.ended.add(run)
        for machine in self.machines:
            if machine.run == run:
                machine.run = None

    def tidy(self) -> None: ...

    def step(self) -> None:
        """Have each free worker take the next batch, at the time when it became free."""
        for machine in self.machines:
            if machine.run is None and self.queue:
                run = self.queue.popleft()
                if run in self.ended:
                    continue
                machine.run, machine.begun, machine.ready = run, self.clock.now, []
                at = self.clock.now + START
                for unit in self.sent[run]:
                    at += machine.speed * sum(self.seconds[stage] for stage in unit)
                    fails = unit[0] in self.failing
                    self.failing.discard(unit[0])
                    machine.ready.append((at, unit, fails))
                self.busy += at - machine.begun

    def statuses(self, _: Any, runs: list[uuid.UUID]) -> dict[uuid.UUID, BatchStatus]:
        self.step()
        now, wanted, found = self.clock.now, set(runs), {}
        for machine in self.machines:
            if machine.run not in wanted:
                continue
            status = BatchStatus(machine.name, beat=1 + int(now - machine.begun))
            for at, unit, failed in machine.ready:
                names = [str(stage) for stage in unit]
                if at <= now and failed:
                    status.elsewhere[names[0]] = FAILED
                elif at <= now:
                    status.done |= {name: {} for name in names}
                else:
                    status.running[names[0]] = ["fit", 0.5, {}]
                    break
            status.ended = machine.ready[-1][0] <= now
            found[machine.run] = status
            if status.ended:
                machine.run = None
        return found

    def read_flow_runs(self, flow_run_filter: Any, limit: int) -> list[Any]:
        waiting = set(self.queue)
        return [
            SimpleNamespace(
                id=run,
                state_type="SCHEDULED" if run in waiting else "RUNNING",
                state=SimpleNamespace(is_final=lambda: False),
            )
            for run in flow_run_filter.id.any_
        ]


class Quiet:
    def say(self, text: str) -> None: ...
    def start(self, name: str) -> None: ...
    def update(self, *_: Any) -> None: ...
    def end(self, name: str, outcome: str) -> None: ...


@dataclass
class Result:
    makespan: float
    bound: float
    failures: dict[str, str]
    taken: int
    batches: int

    @property
    def ratio(self) -> float:
        return self.makespan / self.bound


def simulate(
    products: int, cells: int, workers: int, measured: bool = True, slow: float = 1.0, seed: int = 0
) -> Result:
    """Dispatch products x cells to workers. measured: whether their durations are known within ten
    percent; slow: times as long as others the first worker takes."""
    random = np.random.default_rng(seed)
    stages = [
        Stage(step, f"product{number:04d}", algorithm)
        for number in range(products)
        for algorithm in ALGORITHMS[:cells]
        for step in ("fit", "evaluate")
    ]
    fits = [stage for stage in stages if stage.step == "fit"]
    drawn = random.lognormal(np.log(120), 1.0, len(fits))  # median 2 minutes, one of 40 above 14
    seconds = dict(zip(fits, drawn.tolist(), strict=True))
    seconds |= {stage: 10.0 for stage in stages if stage.step == "evaluate"}
    failing = {stage for stage in fits if random.random() < 0.01}
    known = dict(zip(fits, (drawn * random.lognormal(0, 0.1, len(fits))).tolist(), strict=True))
    clock = Clock()

    class Measured(Pace):
        def _fitted(self, stage: Stage) -> float | None:
            return known[stage] if measured else None

    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        plan = Plan(workspace, SimpleNamespace(), [], stages)  # type: ignore[arg-type]
        journal = Journal(workspace, [str(stage) for stage in stages])
        runner: Any = SimpleNamespace(terminal=Quiet(), journal=journal)
        line = Line(workers=Workers())
        with replaced(clock):
            dispatch = Dispatch(plan, line, runner, lambda product: None)
            dispatch.pace = Measured(workspace)
            machines = [Machine(f"worker{n}") for n in range(workers)]
            machines[0].speed = slow
            most = line.workers.batch if line.workers else 1
            farm = Farm(clock, machines, seconds, failing, dispatch.pace, most)
            with served(farm):
                failures = dispatch.run(stages)
    work = sum(seconds.values())
    longest = max(seconds[stage] for stage in fits) + 10.0
    bound = max(work / workers, longest)
    return Result(clock.now, bound, failures, len(dispatch.taken), farm.batches)


@contextmanager
def replaced(clock: Clock) -> Any:
    """The coordinator with this clock."""
    with patch.object(coordinator, "time", clock):
        yield


@contextmanager
def served(farm: Farm) -> Any:
    """The coordinator with this server, whose results are taken at once."""

    @contextmanager
    def client(**_: Any) -> Any:
        yield farm

    with (
        patch.object(coordinator, "get_client", client),
        patch.object(coordinator, "Sender", lambda *_: farm),
        patch.object(coordinator, "read_statuses", farm.statuses),
        patch.object(coordinator, "collect_results", lambda *_: set()),
        patch.object(coordinator, "take_over", lambda *_: []),
    ):
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=1000)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--workers", type=int, default=64)
    asked = parser.parse_args()
    for measured, slow in ((True, 1.0), (False, 1.0), (True, 20.0)):
        before = time.process_time()
        found = simulate(asked.products, asked.cells, asked.workers, measured, slow)
        took = time.process_time() - before
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        known = "measured" if measured else "unknown"
        print(
            f"{asked.products} x {asked.cells} on {asked.workers}, {known} durations, one worker "
            f"{slow:g} times slower: {found.makespan / 3600:.2f} h, "
            f"{found.ratio:.3f} of the bound; {found.batches} batches, "
            f"{len(found.failures)} failures; {took:.0f} CPU s with the simulation itself, "
            f"peak {peak:.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
