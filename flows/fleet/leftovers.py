"""After a run that died: cancel its batches on the server and take over their results."""

from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
)
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Cancelled

from flows.fleet.batch_status import BatchStatus, read_statuses
from flows.prefect_server.names import CELLS, name_of
from flows.running.plan import Plan
from tasks.build.records import Stage
from tasks.clones.outputs import same_inputs, take_over
from tasks.workspace.errors import LineError

LATEST = 50  # number of latest batches to check


def collect_results(client: SyncPrefectClient, plan: Plan, stages: list[Stage]) -> set[Stage]:
    """The stages that batches of an earlier run already made from the present inputs.

    The caller holds the products: a batch that still runs has no coordinator any more.
    """
    runs = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[CELLS])),
        deployment_filter=DeploymentFilter(
            name=DeploymentFilterName(any_=[name_of(plan.workspace)])
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,
        limit=LATEST,
    )
    ours = [run for run in runs if set(_stages(run)) & set(stages)]
    for run in ours:
        if run.state and not run.state.is_final():
            gone: Any = Cancelled(message="its coordinator is gone")
            client.set_flow_run_state(run.id, gone, force=True)
    news = read_statuses(client, [run.id for run in ours])
    taken: set[Stage] = set()
    found = [news.get(run.id, BatchStatus()).done for run in ours]  # latest first
    for stage in stages:  # a fit before its evaluation
        if any(need in stages and need not in taken for need in plan.needs(stage)):
            continue  # what it reads is made again, so its present inputs say nothing
        for made in filter(None, (done.get(str(stage)) for done in found)):
            if stage not in taken and same_inputs(plan.cells, stage, made):
                try:
                    moved = take_over(plan.cells, {stage: made})
                except LineError:  # not available any more: it runs again
                    continue
                taken |= {stage} - set(moved)
    return taken


def _stages(run: Any) -> list[Stage]:
    return [Stage(*one) for one in run.parameters.get("stages", [])]
