"""The line as a Prefect flow: validate, fit, evaluate, gate and publish, for every product."""

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import allow_failure

from flows import artifacts, stop
from flows.plan import Plan, make_plan
from flows.process import kill_all
from flows.runner import Runner
from flows.server import end
from tasks.cells import Cells, Stage
from tasks.errors import CellError, StoreError
from tasks.gate import gate
from tasks.leaderboard import complete, results
from tasks.patience import patiently
from tasks.report import report
from tasks.spec import read_params
from tasks.version import push
from tasks.workspace import Workspace


def crashed(_task: Any, _run: Any, state: Any) -> bool:
    """Retry what died; a user's mistake would only be made again."""
    return isinstance(state.result(raise_on_failure=False), CellError)


@task(task_run_name="{stage}", cache_policy=NO_CACHE, retry_condition_fn=crashed)
def cell(runner: Runner, stage: Stage) -> None:
    """Bring one stage of the build graph up to date."""
    runner.run(stage)


@task(task_run_name="gate {product}", cache_policy=NO_CACHE)
def decide(runner: Runner, plan: Plan, product: str, by: str) -> dict[str, Any] | None:
    """Promote or refuse the best of the product's cells that are up to date."""
    stop.check()
    patience = read_params(plan.workspace.root).line.patience
    with runner.noted(f"gate {product}"):
        current = plan.current(product)
        decision = patiently(lambda: gate(plan.workspace, product, by, current), patience)
    if decision:
        artifacts.decision(plan.workspace, decision)
    return decision


@flow(name="inspectline", flow_run_name="{name}")
def line(
    workspace: str,
    products: list[str],
    algorithms: list[str] | None = None,
    by: str = "flow",
    name: str = "line",
    stages: list[Stage] | None = None,
) -> tuple[dict[str, str], str]:
    """Bring the cells of `products` up to date and decide on each product.

    stages: those to run, in the order of the graph, where the caller has asked DVC already.
    Returns why each failed task failed, by its name, and the path of the report. One product's
    failure stops no other.
    """
    root = Workspace(Path(workspace))
    if stages is None:
        return run_plan(make_plan(root, products, algorithms), by)
    return run_plan(Plan(root, Cells(root), products, stages), by)


def run_plan(plan: Plan, by: str) -> tuple[dict[str, str], str]:
    """Run every stage of a plan; gates wait for all cells of theirs."""
    line = read_params(plan.workspace.root).line
    here = [stage for stage in plan.stages if not line.workers or stage.step == "validate"]
    gates = [f"gate {product}" for product in plan.products]
    runner = Runner(plan.workspace, plan.cells, plan.stages, gates)
    failures: dict[str, str] = {}
    with runner, stop.stoppable(runner.terminal.say, at_once):
        pool: Any
        with ThreadPoolTaskRunner(max_workers=runner.slots) as pool:
            futures = submit(pool, runner, plan, here)

            def judge(product: str) -> None:
                cells = [futures[str(s)] for s in here if s.product == product]
                arguments = {"runner": runner, "plan": plan, "product": product, "by": by}
                after = [allow_failure(future) for future in cells]
                futures[f"gate {product}"] = pool.submit(decide, arguments, wait_for=after)

            if line.workers:
                from flows.dispatch import Dispatch

                wait(list(futures.values()))
                lost = {name for name, future in futures.items() if failed(future)}
                there = [stage for stage in plan.without(lost) if stage not in here]
                failures = Dispatch(plan, line, runner, judge).run(there)
            for product in plan.products:
                if f"gate {product}" not in futures:
                    judge(product)
            wait(list(futures.values()))
        stop.check()
        if complete(plan.workspace):  # or DVC would miss one of its inputs
            runner.run(Stage("leaderboard"))
    artifacts.table(results(plan.workspace))
    failures |= {name: reason for name, f in futures.items() if (reason := failure(f.state))}
    done = [s for s in here if not failed(futures[str(s)])]
    failures |= send(plan.workspace, done)
    path = report(plan.workspace, failures)
    artifacts.report(path)
    return failures, str(path)


def submit(pool: Any, runner: Runner, plan: Plan, stages: list[Stage]) -> dict[str, PrefectFuture]:
    """A task for every stage, behind those it needs.

    In the order of the graph: a task that waits for an earlier one occupies a thread, and first
    in, first out is what keeps the earlier one from waiting for it.
    """
    futures: dict[str, PrefectFuture] = {}
    attempt = cell.with_options(retries=runner.retries)
    for stage in stages:
        needs = [futures[str(n)] for n in plan.needs(stage) if str(n) in futures]
        arguments: dict[str, Any] = {"runner": runner, "stage": stage}
        futures[str(stage)] = pool.submit(attempt, arguments, wait_for=needs)
    return futures


def failed(future: PrefectFuture) -> bool:
    return not future.state.is_completed()


def send(workspace: Workspace, stages: list[Stage]) -> dict[str, str]:
    """Push what these stages made to the DVC remote, if there is one; why that failed."""
    try:
        if stages:
            push(workspace, [f"{workspace.root / s.file}:{s.name}" for s in stages])
    except StoreError as error:
        return {"push": str(error)}
    return {}


def at_once() -> None:
    """Leave no process behind."""
    kill_all()
    end()


def failure(state: Any) -> str:
    """Why a task failed; empty where it did not, or where it never began for want of another."""
    if state.is_completed() or state.name == "NotReady":
        return ""
    return str(state.result(raise_on_failure=False)) or state.name
