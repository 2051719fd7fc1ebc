"""A worker runs a batch of cells in its own clone, at the commit of the coordinator.

Each finished stage is pushed to the DVC remote and reported at once. So a lost worker loses only
unreported work; of a fit, only the work after its last checkpoint.
"""

import os
import socket
import threading
import time
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.futures import wait
from prefect.task_runners import ThreadPoolTaskRunner

from flows.fleet.batch_status import BatchStatus, StatusPoster, StatusTerminal
from flows.prefect_server.names import CLONES, NAME
from flows.running import stop
from flows.running.plan import Plan, refresh_code
from flows.running.runner import Runner, devices
from flows.running.stages import at_once, failure, submit
from tasks.build.records import Cells, Stage
from tasks.clones.checkpoints import Checkpoints
from tasks.clones.outputs import lock_entry, pull_inputs, push_outputs
from tasks.clones.snapshot import check_out
from tasks.spec.read import read_params
from tasks.spec.schema import Line, Workers
from tasks.workspace.errors import (
    BusyError,
    CellError,
    LineError,
    MachineError,
    StoreError,
    WorkspaceError,
)
from tasks.workspace.files import disk_full
from tasks.workspace.lock import BATCH, run_lock
from tasks.workspace.paths import Workspace, link_package
from tasks.workspace.retry import patiently
from tasks.workspace.secrets import guard_output, without_secrets

LASTING = 3600.0  # seconds to retry the last status if the server is not available
RETRYABLE_ERRORS = (CellError, MachineError, StoreError, BusyError)  # another machine may succeed


@flow(name="inspectline-cells", flow_run_name="{name}", log_prints=True)
def cells(name: str, workspace: str, url: str, ref: str, commit: str, stages: list[Any]) -> None:
    """Run stages of the workspace in this machine's clone, and report the result of each.

    url, ref, commit: what git fetches; stages: [step, product, algorithm] of each.
    """
    from prefect.context import FlowRunContext

    guard_output()
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise LineError("a batch runs for a coordinator, on a Prefect server")
    wanted = [Stage(*stage) for stage in stages]
    home = Path(os.environ.get(CLONES, "inspectline-worker")).absolute()
    line = Line(workers=Workers())
    who = os.environ.get(NAME, socket.gethostname())
    with StatusPoster(context.flow_run.id, who, stop.asked.set) as poster:
        try:
            home.mkdir(parents=True, exist_ok=True)
            with run_lock(Workspace(home), what=BATCH):  # the batch of a dead worker may still run
                clone = check_out(home, url, ref, commit)
                line = read_params(clone.root).line
                BatchRun(clone, workspace, wanted, poster).work()
        except stop.Stopped:
            raise
        except Exception as error:  # an error of this machine: other machines continue
            print(without_secrets(traceback.format_exc()))
            reason = _reason(error)
            with poster.changing() as now:
                now.elsewhere.update(dict.fromkeys(_left(now, wanted), reason))
        finally:
            poster.end(LASTING)
    if poster.now.elsewhere and line.workers and not stop.asked.wait(0):
        time.sleep(
            line.workers.rest
        )  # otherwise this worker would take the next batch and fail again


def _left(now: BatchStatus, stages: list[Stage]) -> list[str]:
    return [str(s) for s in stages if str(s) not in now.done and str(s) not in now.failed]


def _reason(error: Exception) -> str:
    text = str(error) if isinstance(error, LineError) else f"{type(error).__name__}: {error}"
    text = without_secrets(text)
    return "no space left on the disk; make room" if disk_full(error) else text


class BatchRun:
    """Runs stages in a clone that is checked out."""

    def __init__(
        self, clone: Workspace, name: str, stages: list[Stage], poster: StatusPoster
    ) -> None:
        self.clone = clone
        self.stages = stages
        self.poster = poster
        self.line = read_params(clone.root).line
        self.workers = self.line.workers or Workers()
        link_package(clone)
        self.cells = Cells(clone)
        self.checkpoints = Checkpoints(self.cells, name)

    def work(self) -> None:
        """Run every stage; the result of each is in the status."""
        self._check_code()
        self._patiently(lambda: pull_inputs(self.cells, self.stages))
        fits = [stage for stage in self.stages if stage.step in ("fit", "pretrain")]
        for stage in fits:
            for found in self._patiently(partial(self.checkpoints.fetch, stage)):
                print(f"{stage}: continues from {found}")
        slots = len(devices(self.line.device)) * self.workers.per_gpu
        terminal = StatusTerminal(len(self.stages), self.poster)
        runner = Runner(
            self.clone,
            self.cells,
            self.stages,
            slots=slots,
            terminal=terminal,
            deliver=self._deliver,
        )
        over = threading.Event()
        saver = threading.Thread(target=self._save, args=(fits, over), daemon=True)
        with runner, stop.stoppable(terminal.say, at_once):
            saver.start()
            pool: Any
            with ThreadPoolTaskRunner(max_workers=runner.slots) as pool:
                plan = Plan(self.clone, self.cells, [], self.stages)
                futures = submit(pool, runner, plan, self.stages)
                wait(list(futures.values()))
        over.set()
        saver.join()
        for name, future in futures.items():
            if reason := failure(future.state):
                error = future.state.result(raise_on_failure=False)
                retryable = isinstance(error, RETRYABLE_ERRORS) or disk_full(error)
                with self.poster.changing() as now:
                    (now.elsewhere if retryable else now.failed)[name] = reason
        stop.check()

    def _check_code(self) -> None:
        """MachineError if this machine's code differs from the coordinator's."""
        names = sorted({stage.algorithm for stage in self.stages if stage.algorithm})
        before = {name: self._code(name) for name in names}
        if all(before.values()):  # else the coordinator's graph has no such stage
            refresh_code(self.cells)
        if other := [n for n in names if not before[n] or self._code(n) != before[n]]:
            raise MachineError(
                f"the inspectline of this worker is not the coordinator's ({', '.join(other)} "
                "differs); install the same version on both"
            )

    def _code(self, name: str) -> list[Any]:
        files = {f"data/.code/{one}.json" for one in ("fit", "evaluate", "pretrain", name)}
        with suppress(WorkspaceError):  # no such stage: the graph is of an older version
            recorded = lock_entry(self.cells, Stage("code")).get("outs", [])
            return [out for out in recorded if out["path"] in files]
        return []

    def _deliver(self, stage: Stage) -> None:
        """Push the outputs of a stage, then report it as done."""
        self._patiently(lambda: push_outputs(self.cells, [stage]))
        with self.poster.changing() as now:
            now.done[str(stage)] = lock_entry(self.cells, stage)
        with suppress(Exception):  # errors of the remote: files left there do no harm
            self.checkpoints.forget(stage)
        self.poster.post()

    def _save(self, fits: list[Stage], over: threading.Event) -> None:
        """Upload checkpoints regularly, and once more at the end."""
        while True:
            ended = over.wait(self.workers.checkpoint)
            for stage in fits:
                with suppress(Exception):  # errors of the remote: retry next time
                    if self.checkpoints.send(stage):
                        print(f"{stage}: checkpoint is in the DVC remote")
            if ended:
                return

    def _patiently(self, call: Any) -> Any:
        return patiently(call, self.line.patience, print)
