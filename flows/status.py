"""The state of a Prefect server: workers, waiting and running runs, their cells."""

import threading
import time
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectHTTPStatusError

from flows.fleet import run_batch
from flows.line import line
from flows.prefect_server.names import CELLS, POOL
from flows.scheduled import scheduled
from tasks.workspace.errors import LineError
from tasks.workspace.secrets import without_password, without_secrets

EVERY = 5.0  # seconds between requests while a page is open


class Queue:
    """`now` returns the last known state at once; None without a server."""

    def __init__(self) -> None:
        self._known: dict[str, Any] | None = None
        self._asked = -EVERY
        self._busy = threading.Lock()

    def now(self) -> dict[str, Any] | None:
        if time.monotonic() - self._asked >= EVERY and self._busy.acquire(blocking=False):
            threading.Thread(target=self._ask, name="prefect", daemon=True).start()
        return self._known

    def _ask(self) -> None:
        try:
            self._known = server_state()
        finally:
            self._asked = time.monotonic()
            self._busy.release()


def server_state() -> dict[str, Any] | None:
    """Address of the server's UI, waiting and running runs, and an error text if it does not
    answer."""
    from prefect.settings import PREFECT_UI_URL

    from flows.prefect_server.start import named_server, require_server

    if not (url := named_server()):
        return None
    state: dict[str, Any] = {
        "ui": without_password(PREFECT_UI_URL.value() or url.removesuffix("/api")),
        "runs": [],
        "queue": [],
        "trouble": "",
    }
    try:
        require_server()
        found = read_status()
    except LineError as error:
        return state | {"trouble": str(error)}
    except Exception as error:  # any error of the server: the board works without it
        text = f"the Prefect server at {url}: {error}"
        return state | {"trouble": without_secrets(text)}
    return state | {"runs": found.runs, "queue": found.queue}


WAITING = [StateType.SCHEDULED, StateType.PENDING]
WORKING = [StateType.RUNNING, StateType.CANCELLING]
SHOWN = 50  # runs and cells at most


@dataclass(frozen=True)
class Status:
    workers: list[dict[str, Any]]  # name, status
    queue: list[dict[str, Any]]  # waiting runs: name, state, since or planned time
    runs: list[dict[str, Any]]  # running runs: name, state, started
    cells: list[dict[str, Any]]  # running tasks: name, state, started


def read_status(pool: str = CELLS) -> Status:
    """Read the state from the server of PREFECT_API_URL. pool: for batches of cells."""
    with get_client(sync_client=True) as client:
        cells = client.read_task_runs(
            flow_filter=_flows(line.name, run_batch.cells.name),
            task_run_filter=TaskRunFilter(
                state=TaskRunFilterState(type=TaskRunFilterStateType(any_=WORKING))
            ),
            limit=SHOWN,
        )
        return Status(
            workers=_workers(client, POOL) + _workers(client, pool),
            queue=_runs(client, WAITING, scheduled.name, run_batch.cells.name),
            runs=_runs(client, WORKING, scheduled.name, line.name, run_batch.cells.name),
            cells=[_run_state(one, one.start_time) for one in cells],
        )


def _workers(client: SyncPrefectClient, pool: str) -> list[dict[str, Any]]:
    try:
        found = client.read_workers_for_work_pool(pool)
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return []  # no such pool: without `line.workers` there is no pool for cells
    return [{"name": one.name, "pool": pool, "status": (one.status or "").lower()} for one in found]


def _runs(client: SyncPrefectClient, states: list[StateType], *names: str) -> list[dict[str, Any]]:
    found = client.read_flow_runs(
        flow_filter=_flows(*names),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=states))
        ),
        limit=SHOWN,
    )
    return [_run_state(one, one.start_time or one.expected_start_time) for one in found]


def _flows(*names: str) -> FlowFilter:
    return FlowFilter(name=FlowFilterName(any_=list(names)))


def _run_state(run: Any, since: Any) -> dict[str, Any]:
    state = run.state.name if run.state else ""
    return {"name": run.name, "state": state, "since": since and since.isoformat("T", "seconds")}
