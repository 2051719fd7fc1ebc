"""The coordinator of cells on other machines: follows its batches and takes over their results.

A batch is a run of the deployment `inspectline-cells`; a free worker takes it. Each worker has its
own slots. The status of a batch shows that it is alive. After `workers.silence` seconds without a
new status, its unfinished stages go to another worker.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Crashed

from flows.fleet.batch_status import BatchStatus, read_statuses
from flows.fleet.batches import Batch, Sender, group_units
from flows.fleet.leftovers import collect_results
from flows.fleet.pace import Pace, Unit
from flows.prefect_server.artifacts import AWAY
from flows.running import stop
from flows.running.plan import Plan
from flows.running.runner import Runner
from tasks.build.records import Stage
from tasks.clones.outputs import DamagedError, take_over
from tasks.spec.schema import Line, Workers
from tasks.workspace.retry import patiently

POLL = 3.0  # seconds between requests to the server
PAGE = 100  # batches of a request; a server answers with 200 at most


class Dispatch:
    """Use it once: `run` returns when every stage has ended."""

    def __init__(
        self, plan: Plan, line: Line, runner: Runner, ready: Callable[[str], None]
    ) -> None:
        """runner: shows the progress; ready: called with a product when the last of its cells has
        ended."""
        self.plan, self.line, self.ready = plan, line, ready
        self.terminal, self.journal = runner.terminal, runner.journal
        self.workers = line.workers or Workers()
        self.active: dict[UUID, Batch] = {}
        self.failures: dict[str, str] = {}
        self.taken: set[Stage] = set()
        self.again: list[Unit] = []
        self._attempts: dict[Stage, int] = {}  # of a unit, by its last stage
        self._looked = time.monotonic()
        self.pace = Pace(plan.workspace)

    def run(self, stages: list[Stage]) -> dict[str, str]:
        """Run the stages; the reasons of failed stages, by name."""
        if not stages:
            return {}
        open = {stage.product for stage in stages if stage.product}
        before = (0, 0, 0)  # stages taken and failed, batches: what could end a product
        with get_client(sync_client=True) as self.client:
            sender = Sender(self.plan, self.line, self.client, self.terminal.say)
            sender.pace = self.pace
            self.taken = collect_results(self.client, self.plan, stages)
            for stage in self.taken:
                self.terminal.say(f"{stage}: an earlier run had it made")
                self.journal.end(str(stage), "done")
            self.again = group_units(stage for stage in stages if stage not in self.taken)
            try:
                while self.again or self.active:
                    if self.again:
                        waiting, self.again = self.again, []
                        self.active |= {batch.run: batch for batch in sender.send(waiting)}
                    stop.check()
                    time.sleep(POLL)
                    self._look(sender)
                    self._race(sender)
                    if (now := (len(self.taken), len(self.failures), len(self.active))) == before:
                        continue
                    before, ended = now, open - self._busy()
                    open -= ended
                    for product in sorted(ended):
                        self.ready(product)
            finally:
                for run in self.active:
                    sender.mark(run, Cancelled(message="its coordinator has ended"))
                sender.tidy()
        return self.failures

    def _busy(self) -> set[str]:
        """Products with unfinished cells."""
        under_way = [stage for batch in self.active.values() for stage in batch.stages]
        return {s.product for s in [*under_way, *(s for unit in self.again for s in unit)]}

    def _look(self, sender: Sender) -> None:
        """Read the status of all batches, and close the lost ones."""
        news: dict[UUID, BatchStatus] = {}
        runs: list[FlowRun] = []
        ids = list(self.active)
        try:
            for part in (ids[at : at + PAGE] for at in range(0, len(ids), PAGE)):
                wanted = FlowRunFilter(id=FlowRunFilterId(any_=part))
                news |= read_statuses(self.client, part)
                runs += self.client.read_flow_runs(flow_run_filter=wanted, limit=len(part))
        except AWAY as error:
            self.terminal.say(f"the Prefect server is away ({error}); the cells continue")
            return
        self._forgive()
        for unknown in set(self.active) - {run.id for run in runs}:  # a new server
            self._close(self.active[unknown], BatchStatus())
        for run in runs:
            batch, status = self.active[run.id], news.get(run.id, BatchStatus())
            batch.waits = run.state_type in (StateType.SCHEDULED, StateType.PENDING)
            if run.state_type == StateType.SCHEDULED:
                batch.heard = time.monotonic()
                if not status.beat:
                    continue
            if status.beat != batch.beat:
                batch.beat, batch.heard = status.beat, time.monotonic()
                batch.worker = status.worker or batch.worker
            self._show(batch, status)
            self._take(batch, status)
            silent = time.monotonic() - batch.heard
            allowed = self.workers.silence if status.beat else self.workers.patience
            final = run.state is not None and run.state.is_final()
            if not status.ended and (final or silent > allowed):
                self.terminal.say(f"{batch.worker} is lost, {silent:.0f} s after its last sign")
                sender.mark(run.id, Crashed(message="nothing is heard of its worker"))
            if status.ended or final or silent > allowed:
                self._close(batch, status)

    def _forgive(self) -> None:
        """If the server was not available, silence counts from now: workers could not report."""
        now = time.monotonic()
        if now - self._looked > 5 * POLL:
            for batch in self.active.values():
                batch.heard = now
        self._looked = now

    def _take(self, batch: Batch, status: BatchStatus) -> None:
        """Take over the new results in a status."""
        left = [s for s in batch.stages if s not in self.taken] if status.done else []
        done = [s for s in left if str(s) in status.done]
        fresh = [s for s in done if str(s) not in self.failures]
        for product in dict.fromkeys(stage.product for stage in fresh):
            entries = {s: status.done[str(s)] for s in fresh if s.product == product}
            call = partial(take_over, self.plan.cells, entries)
            try:
                moved = patiently(call, self.line.patience, self.terminal.say)
            except DamagedError as error:  # it runs again after the batch has ended
                status.elsewhere |= {str(stage): str(error) for stage in entries}
                continue
            for stage in entries:
                self.taken.add(stage)
                self._learn(batch, stage)
                self._hide(batch, stage, "done   ")
                self.journal.end(str(stage), "done")
            self._fail({str(s): "an input changed while it ran; run again" for s in moved})
        if status.failed:
            made = {str(stage) for stage in batch.stages if stage in self.taken}
            # of two workers that had a cell, the first one counts
            self._fail({name: why for name, why in status.failed.items() if name not in made})

    def _learn(self, batch: Batch, stage: Stage) -> None:
        """Remember how long a unit took, once its last stage is there."""
        for unit in batch.units:
            if stage == unit[-1] and (begun := batch.begun.get(str(unit[0]))) is not None:
                self.pace.learn(unit, time.monotonic() - begun)

    def _race(self, sender: Sender) -> None:
        """Give what hangs on a slow worker to a free one too, once nothing waits any more. The
        first result counts, and the other batch is ended."""
        for run in [run for run, batch in self.active.items() if batch.raced]:
            if not any(self._left(unit) for unit in self.active[run].units):
                sender.mark(run, Cancelled(message="another worker was faster"))
                del self.active[run]
        if self.again or any(batch.waits for batch in self.active.values()):
            return
        if not (slow := [one for one in self.active.values() if self._hangs(one)]):
            return
        for batch in slow[: max(0, sender.count() - len(self.active))]:
            left = [part for unit in batch.units if (part := self._left(unit))]
            self.terminal.say(f"{batch.worker} is slow; a free worker begins {left[0][0]} as well")
            for copy in sender.send(left):
                copy.raced = batch.raced = True
                self.active[copy.run] = copy

    def _hangs(self, batch: Batch) -> bool:
        """Whether a unit of a batch takes far longer than others did, and no other batch has it."""
        if batch.raced:
            return False
        for unit in batch.units:
            begun, slow = batch.begun.get(str(unit[0])), self.pace.slow(unit)
            late = begun is not None and slow is not None and time.monotonic() - begun > slow
            if late and self._left(unit):
                return True
        return False

    def _fail(self, reasons: dict[str, str]) -> None:
        for name in set(reasons) - set(self.failures):
            self.failures[name] = reasons[name]
            self.journal.end(name, "failed", reasons[name])

    def _close(self, batch: Batch, status: BatchStatus) -> None:
        """Close a batch that has ended; its unfinished stages go to another worker."""
        del self.active[batch.run]
        for stage in batch.stages:
            self._hide(batch, stage, "left   ")
        others = {stage for one in self.active.values() for stage in one.stages}
        for unit in batch.units:
            if not (left := self._left(unit)) or others & {*left}:
                continue
            reasons = [status.elsewhere[str(s)] for s in left if str(s) in status.elsewhere]
            reason = f"{batch.worker}: {reasons[0] if reasons else 'lost'}"
            attempt = self._attempts[unit[-1]] = self._attempts.get(unit[-1], 0) + 1
            if attempt < self.workers.attempts:
                self.terminal.say(f"{left[0]} goes to another worker ({reason})")
                self.again.append(left)
            else:
                self._fail({str(left[0]): reason})

    def _left(self, unit: Unit) -> Unit:
        """Stages of a unit that must still run, without those after a failed one."""
        lost: list[Stage] = []
        left = []
        for stage in unit:
            if str(stage) in self.failures or any(n in lost for n in self.plan.needs(stage)):
                lost.append(stage)
            elif stage not in self.taken:
                left.append(stage)
        return left

    def _show(self, batch: Batch, status: BatchStatus) -> None:
        for stage, (step, fraction, figures) in status.running.items():
            if stage not in batch.shown:
                batch.shown.add(stage)
                batch.begun.setdefault(stage, time.monotonic())
                self.terminal.start(stage)
                self.journal.begin(stage, status.worker)
            self.terminal.update(stage, f"{status.worker} {step}", fraction, figures)
            self.journal.tell(stage, step, fraction, figures)

    def _hide(self, batch: Batch, stage: Stage, outcome: Any) -> None:
        name = str(stage)
        if name not in batch.shown and outcome.startswith("done"):  # faster than a status
            self.terminal.start(name)
        elif name not in batch.shown:
            return
        batch.shown.discard(name)
        self.terminal.end(name, outcome)
