"""The line as a Prefect flow: validate, fit, evaluate, gate and publish, for every product."""

from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.utilities.annotations import allow_failure

from flows.prefect_server import artifacts
from flows.prefect_server.abandoned import untagged
from flows.prefect_server.names import LINE
from flows.running import stop
from flows.running.plan import Plan
from flows.running.process import run_gate
from flows.running.progress import telling
from flows.running.runner import Runner
from flows.running.stages import at_once, cell, failed, failure, submit
from tasks.build.records import Cells, Stage, push
from tasks.documents.decision import Decision
from tasks.leaderboard import all_evaluated, read_results
from tasks.report import write_report
from tasks.spec.read import read_params
from tasks.store.champion import champion
from tasks.store.opening import store_of
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace
from tasks.workspace.retry import patiently

# What the caller of the flow has read of the build graph: no parameter of a flow, because a server
# stores those. In a workspace of hundreds of products, to read it once more takes seconds.
READ: ContextVar[Cells | None] = ContextVar("READ", default=None)


@task(task_run_name="{name}", cache_policy=NO_CACHE)
def decide(runner: Runner, plan: Plan, product: str, by: str, name: str) -> Decision | None:
    """Promote or refuse the best of the product's cells that are up to date."""
    stop.check()
    patience = read_params(plan.workspace.root).line.patience
    with runner.shown(name):
        current = plan.current(product)
        decision = patiently(lambda: run_gate(plan.workspace, product, by, current), patience)
    if decision:
        artifacts.decision_artifact(plan.workspace, decision)
    return decision


@flow(name=LINE, flow_run_name="{name}")
def line(
    workspace: str, products: list[str], stages: list[Stage], by: str = "flow", name: str = "line"
) -> tuple[dict[str, str], str]:
    """Bring the stages, given in the order of the graph, up to date; run the gate of each product.

    Returns why each failed task failed, by its name, and the path of the report. One product's
    failure stops no other.
    """
    root = Workspace(Path(workspace))
    plan = Plan(root, READ.get() or Cells(root), products, stages)
    spec = read_params(root.root).line
    here = [stage for stage in plan.stages if not spec.workers or stage.step == "validate"]
    gates = [f"gate {product}" for product in plan.products]
    first = {} if spec.workers else first_gates(plan)
    runner = Runner(plan.workspace, plan.cells, plan.stages, gates)
    failures: dict[str, str] = {}
    with runner, stop.stoppable(runner.terminal.say, at_once), untagged():
        pool: Any
        with ThreadPoolTaskRunner(max_workers=runner.slots) as pool:
            soon = [stage for part in first.values() for stage in part]
            begun = 1 + max((here.index(stage) for stage in soon), default=-1)
            futures = submit(pool, runner, plan, here[:begun])

            def submit_gate(product: str, name: str = "gate {}") -> None:
                after = [allow_failure(f) for n, f in futures.items() if product in n.split()]
                name = name.format(product)
                arguments = {"runner": runner, "plan": plan, "product": product, "by": by}
                futures[name] = pool.submit(decide, arguments | {"name": name}, wait_for=after)

            for product in first:
                submit_gate(product, "first gate {}")
            futures |= submit(pool, runner, plan, here[begun:], futures)
            if spec.workers:
                failures = run_on_workers(plan, runner, futures, submit_gate)
            for product in plan.products:
                if f"gate {product}" not in futures:
                    submit_gate(product)
            wait(list(futures.values()))
        stop.check()
        if all_evaluated(plan.workspace):  # or DVC would miss one of its inputs
            cell.fn(runner, Stage("leaderboard"))
    with telling("telling Prefect of the results"):
        artifacts.table_artifact(read_results(plan.workspace))
    failures |= {name: reason for name, f in futures.items() if (reason := failure(f.state))}
    done = [s for s in here if not failed(futures[str(s)])]
    failures |= send(plan.workspace, done)
    with telling("writing the report"):
        path = write_report(plan.workspace, failures)
        artifacts.report_artifact(path)
    return failures, str(path)


def first_gates(plan: Plan) -> dict[str, list[Stage]]:
    """Products without a champion that can soon have one, and the stages of the cells for that."""
    found = {product: plan.soon(product) for product in plan.products}
    return {
        product: stages
        for product, stages in found.items()
        if stages and not has_champion(plan.workspace, product)
    }


def has_champion(workspace: Workspace, product: str) -> bool:
    """Whether there is a champion; true where the store cannot say."""
    try:
        return champion(store_of(workspace), product) is not None
    except LineError:
        return True


def run_on_workers(
    plan: Plan,
    runner: Runner,
    futures: dict[str, PrefectFuture],
    submit_gate: Callable[[str], None],
) -> dict[str, str]:
    """Have workers run what need not run here, once that has ended; why cells failed."""
    from flows.fleet.coordinator import Dispatch

    wait(list(futures.values()))
    lost = {name for name, future in futures.items() if failed(future)}
    there = [stage for stage in plan.without(lost) if str(stage) not in futures]
    spec = read_params(plan.workspace.root).line
    return Dispatch(plan, spec, runner, submit_gate).run(there)


def send(workspace: Workspace, stages: list[Stage]) -> dict[str, str]:
    """Push what these stages made to the DVC remote, if there is one; why that failed."""
    if not stages:
        return {}
    try:
        with telling("sending to the DVC remote"):
            push(workspace, [f"{workspace.root / s.file}:{s.name}" for s in stages])
    except LineError as error:
        return {"push": str(error)}
    return {}
