"""A step in a process of its own: what crashes or runs out of memory there fails alone.

Processes are forked from a server that has imported torch already, so that one costs a
fraction of a second and not the seconds of the import.
"""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flows.running import stop
from flows.running.child import Job, work
from tasks.build.records import Stage
from tasks.workspace import errors
from tasks.workspace.environment import variable
from tasks.workspace.errors import CellError
from tasks.workspace.paths import Workspace

GATE = ("tasks.gate", "tasks.promotion.assembly", "tasks.promotion.trial")
CONTEXT = multiprocessing.get_context("forkserver")
SAFE_PATH = "PYTHONSAFEPATH"  # Python does not look for modules in the working folder
GRACE = 60.0  # seconds in which a step that was asked to stop may come to an end of a batch


def prepare(modules: list[str]) -> None:
    """Name the modules that the server imports once for all processes.

    Threads of torch that wait for work sleep, if the user has not said otherwise: on a machine that
    does something else too, threads that look for work all the time take more than the work.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    CONTEXT.set_forkserver_preload(modules)
    # Ctrl-C reaches the server too, and would end its imports with a trace; steps unblock them
    resource_tracker.ensure_running()  # it is started first, and that unblocks them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
    try:
        with variable(SAFE_PATH, "1"):
            forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def worth_importing(stages: Sequence[Stage]) -> list[str]:
    """What the server of processes imports once, because more than one step needs it."""
    validations = sum(stage.step == "validate" for stage in stages)
    algorithms = sorted({stage.algorithm for stage in stages if stage.algorithm})
    cells = ["tasks.fit", "tasks.evaluate", *GATE] if algorithms else []
    cells += [f"ad_models.algorithms.{name}" for name in algorithms]  # and torchvision with them
    return cells + ["great_expectations"] * (validations > 1)


def run_step(
    workspace: Workspace,
    stage: Stage,
    device: str | None,
    threads: int,
    report: Callable[..., None],
    say: Callable[[str], None],
) -> None:
    """Call `tasks.<step>.<step>(workspace, *arguments, listener)` in a new process and wait."""
    log = _log(workspace, stage.step, *stage.arguments)
    function = f"tasks.{stage.step}:{stage.step}"
    job = Job(function, workspace, stage.arguments, log, device, threads, listener=True)
    run_job(job, report, say)


def run_gate(workspace: Workspace, product: str, *arguments: Any) -> Any:
    """What `tasks.gate.gate` decides, in a new process: two products export their models side by
    side, and what a run itself holds in memory stays small."""
    log = _log(workspace, "gate", product)
    return run_job(Job("tasks.gate:gate", workspace, (product, *arguments), log))


def _log(workspace: Workspace, *name: str) -> Path:
    log = workspace.scratch / "logs" / f"{'-'.join(name)}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return log


def run_job(
    job: Job,
    report: Callable[..., None] = lambda *step, **metrics: None,
    say: Callable[[str], None] = lambda text: None,
) -> Any:
    """What the job returns. Its LineErrors are raised here too; a CellError says how it died."""
    ours, theirs = CONTEXT.Pipe()
    process = CONTEXT.Process(target=work, args=(theirs, job), daemon=True)
    process.start()
    theirs.close()
    try:
        outcome = _listen(ours, process, report, say)
    finally:
        _end(process)
    if outcome is None or outcome[0] == "stopped":
        stop.check()
    if outcome is None:
        raise CellError(f"its process {_cause(process.exitcode)}; its output is in {job.log}")
    kind, content = outcome
    if kind == "stopped":  # by somebody else: the run itself was not asked to stop
        raise CellError(content)
    if kind != "done":
        raise getattr(errors, kind)(content)
    return content


def _listen(
    connection: Connection, process: Any, report: Callable[..., None], say: Callable[[str], None]
) -> tuple[str, Any] | None:
    """Pass progress on until the process says how it ended; None where it just died."""
    asked = 0.0
    while True:
        if stop.asked.is_set() and not asked:
            asked = time.monotonic()
            process.terminate()
        if asked and time.monotonic() - asked > GRACE:
            process.kill()
        try:
            if connection.poll(0.5):
                kind, content = connection.recv()
                if kind == "progress":
                    report(*content[0], **content[1])
                elif kind == "text":
                    say(content)
                else:
                    return kind, content
            elif not process.is_alive() and not connection.poll(0):
                return None
        except EOFError:
            return None


def _end(process: Any) -> None:
    process.join(timeout=10)
    if process.is_alive():
        process.kill()
        process.join()


def kill_all() -> None:
    """End every process of this run at once."""
    for process in multiprocessing.active_children():
        process.kill()


def _cause(exitcode: int | None) -> str:
    if exitcode == -signal.SIGKILL:
        return "was killed (signal 9), most likely because memory ran out"
    return f"died with {'signal' if (exitcode or 0) < 0 else 'exit code'} {abs(exitcode or 0)}"
