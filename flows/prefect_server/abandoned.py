"""Runs that were killed: a server that stays would show them as running for ever.

Why not by Prefect's own heartbeats, with an automation that crashes a run without one? Tried with
3.8.8, a beat every 30 s, the automation after 90 s: a run that was killed was crashed after 75 s.
But when a server came back after two minutes, a run that was alive was crashed too. Here a run is
over only once the lock of its workspace is free, which the operating system knows; a batch on
another machine is judged by its own status (`fleet`).
"""

import socket
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from uuid import UUID

import httpx
from prefect import tags
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.context import TagsContext
from prefect.exceptions import PrefectException
from prefect.states import Crashed

from flows.prefect_server.names import LINE
from flows.prefect_server.start import named_server

RUNNING = [StateType.RUNNING, StateType.CANCELLING]
WHY = "its process was killed; the next run found that"


def of_this_machine() -> AbstractContextManager[set[str]]:
    """Inside, flow runs bear the machine's name: only there one can tell that they are gone."""
    return tags(socket.gethostname())


def untagged() -> AbstractContextManager[object]:
    """Inside, task runs bear no tag: for each one that does, Prefect asks its server for a slot of
    the tag's limit, which takes about a second where cells keep the machine busy."""
    return TagsContext(current_tags=set())


def end_abandoned(root: Path) -> int:
    """How many runs of the workspace at `root` were set to crashed. Call it under the lock of the
    run that is to come: no other run of it is alive then. A server that is away loses nothing."""
    if not named_server():
        return 0
    with suppress(httpx.HTTPError, PrefectException), get_client(sync_client=True) as client:
        return sum(_end(client, run) for run in _running(client, root))
    return 0


def _running(client: SyncPrefectClient, root: Path) -> list[UUID]:
    found = client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[LINE])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=RUNNING)),
            tags=FlowRunFilterTags(all_=[socket.gethostname()]),
        ),
    )
    return [one.id for one in found if one.parameters.get("workspace") == str(root)]


def _end(client: SyncPrefectClient, run: UUID) -> int:
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run])),
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=RUNNING))
        ),
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message=WHY), force=True)
    client.set_flow_run_state(run, Crashed(message=WHY), force=True)
    return 1
