"""Register a workspace on a Prefect server. Doing it again changes only differences.

work pool     inspectline                      for the worker on the workspace's machine
deployment    inspectline-run/<name>           one run at a time, the others queue
work pool     inspectline-cells                for workers elsewhere; or line.workers.pool
deployment    inspectline-cells/<name>         a batch of cells; both with `line.workers` only
schedules     of the deployment, one a product whose spec has `schedule`
automations   inspectline <name> <product>     start a run when watch or drift reports one
"""

import asyncio
import json
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.schedules import Cron, Schedule
from prefect.types.entrypoint import EntrypointType

from flows.prefect_server.events import event_resource
from flows.prefect_server.names import CELLS, DUE, POOL, name_of
from flows.scheduled import scheduled
from tasks.spec.read import read_params, read_product
from tasks.spec.schema import Pool
from tasks.workspace.errors import SpecError
from tasks.workspace.names import safe_name
from tasks.workspace.paths import Workspace

WHY = {"__prefect_kind": "jinja", "template": "{{ event.payload.reason }}"}


def deploy_workspace(workspace: Workspace) -> list[str]:
    """Register the workspace; one line for each object on the server."""
    name = name_of(workspace)
    times = schedules(workspace)
    with get_client(sync_client=True) as client:
        made = [make_pool(client, POOL)]
        if workers := read_params(workspace.root).line.workers:
            made += register_cells(client, name, workers.pool)
        deployment = scheduled.to_deployment(
            name,
            schedules=list(times.values()),
            concurrency_limit=ConcurrencyLimitConfig(limit=1),
            parameters={"workspace": str(workspace.root)},
            work_pool_name=POOL,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        made.append(f"set  deployment {scheduled.name}/{name}")
        identity = cast(UUID, deployment.apply())  # type: ignore[union-attr]
        for old in client.read_deployment_schedules(identity):
            if old.slug not in {
                one.slug for one in times.values()
            }:  # an empty list would delete none
                client.delete_deployment_schedule(identity, old.id)
                made.append(f"gone schedule {old.slug}")
        made += [f"set  schedule of {product}: {one.cron}" for product, one in times.items()]
        made += _automations(client, workspace, identity)
    return made


def schedules(workspace: Workspace) -> dict[str, Schedule]:
    """The schedules of products that have one."""
    found = {}
    for product in workspace.products:
        cron = read_product(workspace.root, product).schedule
        if not cron:
            continue
        again = {"products": [product], "reason": f"schedule of {product}"}
        try:
            found[product] = Cron(cron, parameters=again, slug=safe_name(product))
        except ValueError as error:
            path = workspace.product(product) / "product.yaml"
            raise SpecError(f"{path}: schedule: '{cron}' is not a cron expression") from error
    return found


def _automations(client: SyncPrefectClient, workspace: Workspace, deployment: Any) -> list[str]:
    """One automation per product; automations of removed products are deleted."""
    prefix = f"inspectline {name_of(workspace)} "
    wanted = {prefix + p: _automation(workspace, p, deployment) for p in workspace.products}
    done = []
    for old in client.read_automations():
        if old.name not in wanted and old.name.startswith(prefix):
            client.delete_automation(old.id)
            done.append(f"gone automation {old.name}")
    for name, automation in wanted.items():
        [*known] = client.read_automations_by_name(name)
        if not known:
            client.create_automation(automation)
            done.append(f"made automation {name}")
        elif _automation_key(known[0]) != _automation_key(automation):
            client.update_automation(known[0].id, automation)
            done.append(f"set  automation {name}")
        else:
            done.append(f"kept automation {name}")
    return done


def _automation(workspace: Workspace, product: str, deployment: Any) -> AutomationCore:
    return AutomationCore(
        name=f"inspectline {name_of(workspace)} {product}",
        description=f"Runs the line when one for {product} is due",
        trigger=EventTrigger(
            expect={DUE},
            match=event_resource(workspace, product),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            RunDeployment(
                source="selected",
                job_variables=None,
                schedule_after=timedelta(0),
                deployment_id=deployment,
                parameters={"products": [product], "reason": WHY},
            )
        ],
    )


def _automation_key(automation: AutomationCore) -> str:
    """The content of an automation as text, for comparison."""
    actions = [action.model_dump(mode="json") for action in automation.actions]
    trigger = automation.trigger.model_dump(mode="json", include={"expect", "match", "threshold"})
    return json.dumps([actions, trigger], sort_keys=True, default=sorted)


def register_cells(client: "SyncPrefectClient", name: str, pool: Pool) -> list[str]:
    """Register the pool and deployment for batches of cells; without limits: each worker has its
    own slots."""
    from prefect.types.entrypoint import EntrypointType

    from flows.fleet.run_batch import cells

    made = make_pool(client, pool.name, pool.type)
    deployment = cells.to_deployment(
        name,
        work_pool_name=pool.name,
        job_variables=pool.job,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    deployment.apply()  # type: ignore[union-attr]
    return [made, f"set  deployment {CELLS}/{name}"]


def make_pool(client: "SyncPrefectClient", name: str, type: str = "process") -> str:
    """Create a work pool, or keep one with all that was set there; a line that says which.

    SpecError where it has another type, or where nothing here knows the type.
    """
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        known = client.read_work_pool(name)
    except ObjectNotFound:
        pool = WorkPoolCreate(name=name, type=type, base_job_template=job_template(name, type))
        client.create_work_pool(pool)
        return f"made work pool {name}"
    if known.type != type:
        raise SpecError(
            f"line.workers.pool: {name} is of type {known.type} on the server, not {type}; name "
            "another pool, or its type"
        )
    return f"kept work pool {name}"


def job_template(name: str, type: str) -> dict[str, Any]:
    """The base job template of a type of pools, as Prefect or its integration defines it."""
    from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type

    found = asyncio.run(get_default_base_job_template_for_infrastructure_type(type))
    if found is None:
        raise SpecError(
            f"line.workers.pool.type: nothing here knows '{type}'; install its integration, as "
            f"prefect-kubernetes, or make the pool with `prefect work-pool create {name}`"
        )
    return found
