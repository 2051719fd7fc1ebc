"""Stages as Prefect tasks: one each, behind those it needs."""

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture

from flows.prefect_server.own import own
from flows.running import stop
from flows.running.plan import Plan
from flows.running.process import kill_all, run_step
from flows.running.runner import Runner
from tasks.build.records import Stage
from tasks.workspace.errors import CellError
from tasks.workspace.secrets import without_secrets


def crashed(_task: Any, _run: Any, state: Any) -> bool:
    """Retry what died; a user's mistake would only be made again."""
    return isinstance(state.result(raise_on_failure=False), CellError)


@task(task_run_name="{stage}", cache_policy=NO_CACHE, retry_condition_fn=crashed)
def cell(runner: Runner, stage: Stage) -> None:
    """Bring one stage of the build graph up to date."""
    stop.check()
    if runner.cells.stale([stage]):
        with runner.slot(stage) as slot:
            run_step(runner.workspace, stage, slot.device, runner.threads, slot.report, slot.say)
    else:
        runner.journal.end(str(stage), "unchanged")
    runner.deliver(stage)


def submit(
    pool: Any,
    runner: Runner,
    plan: Plan,
    stages: list[Stage],
    before: dict[str, PrefectFuture] | None = None,
) -> dict[str, PrefectFuture]:
    """A task for every stage, behind those it needs, beside those of `before`.

    They are submitted in the order of the graph: a task that waits occupies a thread, so the tasks
    that it waits for must start first.
    """
    futures = dict(before or {})
    attempt = cell.with_options(retries=runner.retries)
    for stage in stages:
        needs = [futures[str(n)] for n in plan.needs(stage) if str(n) in futures]
        arguments: dict[str, Any] = {"runner": runner, "stage": stage}
        futures[str(stage)] = pool.submit(attempt, arguments, wait_for=needs)
    return futures


def failed(future: PrefectFuture) -> bool:
    return not future.state.is_completed()


def at_once() -> None:
    """Leave no process behind."""
    kill_all()
    own.stop()


def failure(state: Any) -> str:
    """Why a task failed; empty if it did not, or if it never began because another one failed."""
    if state.is_completed() or state.name == "NotReady":
        return ""
    return without_secrets(str(state.result(raise_on_failure=False))) or state.name
