"""Send batches of cells to workers: first data and commit, then a run on the Prefect server."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound
from prefect.runtime import flow_run

from flows.fleet.pace import Pace, Unit, batches
from flows.prefect_server.artifacts import AWAY
from flows.prefect_server.names import CELLS, name_of
from flows.running.plan import Plan
from tasks.build.records import Stage
from tasks.clones.outputs import push_inputs
from tasks.clones.snapshot import push_snapshot, remote_url, remove_refs
from tasks.spec.schema import Line, Workers
from tasks.workspace.errors import LineError
from tasks.workspace.retry import patiently

Say = Callable[[str], None]
MANY = 64  # containers at once, of a pool without a limit


@dataclass
class Batch:
    """Cells that were sent together, and their last known state."""

    run: UUID
    name: str
    units: list[Unit]
    beat: int = 0
    heard: float = field(default_factory=monotonic)  # when the beat last changed
    worker: str = "a worker"
    shown: set[str] = field(default_factory=set)  # stages with a progress bar
    begun: dict[str, float] = field(default_factory=dict)  # stage: when it was first seen at work
    waits: bool = True  # no worker has it yet
    raced: bool = False  # another worker has the same

    @property
    def stages(self) -> Unit:
        return [stage for unit in self.units for stage in unit]


class Sender:
    """Sends units to workers in batches."""

    def __init__(self, plan: Plan, line: Line, client: SyncPrefectClient, say: Say) -> None:
        self.plan, self.client, self.say = plan, client, say
        self.patience = line.patience
        self.workers = line.workers or Workers()
        self.pool = self.workers.pool
        self.pace = Pace(plan.workspace)
        self.capacity = 1  # batches that can run at once
        self.name = name_of(plan.workspace)
        self.url = remote_url(plan.workspace, self.workers.git)
        self._refs: list[str] = []

    def send(self, waiting: list[Unit]) -> list[Batch]:
        """Send the units in batches, the longest first."""
        stages = [stage for unit in waiting for stage in unit]
        patiently(lambda: push_inputs(self.plan.cells, stages), self.patience, self.say)
        ref = f"{self.name}/{str(flow_run.id or 'run')[:8]}-{len(self._refs) + 1}"
        root, remote = self.plan.workspace, self.workers.git
        commit = patiently(lambda: push_snapshot(root, remote, ref), self.patience, self.say)
        self._refs.append(ref)
        deployment, self.capacity = self._asking(self._known)
        if not self.capacity:
            self.say(f"no worker is at {self.pool.name} now; the cells wait for one")
        seconds = self.pace.seconds(waiting)
        parts = batches(waiting, seconds, self.capacity, self.workers.batch)
        return [self._asking(partial(self._start, deployment, p, ref, commit)) for p in parts]

    def mark(self, run: UUID, state: Any) -> None:
        """Set the final state of a run on the server that cannot do so itself."""
        try:
            self.client.set_flow_run_state(run, state, force=True)
        except AWAY as error:
            self.say(f"the Prefect server is away ({error}); run {run} stays open there")

    def count(self) -> int:
        """How many batches can run at once now."""
        self.capacity = self._asking(self._known)[1]
        return self.capacity

    def tidy(self) -> None:
        """Remove the commits of the batches."""
        try:
            if self._refs:
                remove_refs(self.plan.workspace, self.workers.git, self._refs)
        except LineError as error:
            self.say(str(error))

    def _known(self) -> tuple[UUID, int]:
        """The deployment for batches, and how many can run at once: on as many workers as are
        online, or in as many containers as the pool allows."""
        name = f"{CELLS}/{self.name}"
        try:
            known = self.client.read_deployment_by_name(name)
            workers = self.client.read_workers_for_work_pool(self.pool.name)
            limit = self.client.read_work_pool(self.pool.name).concurrency_limit
        except ObjectNotFound:
            raise LineError(
                f"{name} is not on the Prefect server; `inspectline deploy` registers it"
            ) from None
        online = sum(str(one.status).upper().endswith("ONLINE") for one in workers)
        if self.pool.type == "process" or not online:
            return known.id, online
        return known.id, limit or MANY

    def _start(self, deployment: UUID, part: list[Unit], ref: str, commit: str) -> Batch:
        stages = [stage for unit in part for stage in unit]
        products = sorted({stage.product for stage in stages if stage.product})
        name = f"{self.name} {', '.join(products[:3])}: {len(part)} cells"
        run = self.client.create_flow_run_from_deployment(
            deployment,
            name=name,
            parameters={
                "name": name,
                "workspace": self.name,
                "url": self.url,
                "ref": ref,
                "commit": commit,
                "stages": [[s.step, s.product, s.algorithm] for s in stages],
            },
        )
        return Batch(run.id, name, part)

    def _asking(self, call: Callable[[], Any]) -> Any:
        return patiently(call, self.patience, self.say, AWAY)


def group_units(stages: Iterable[Stage]) -> list[Unit]:
    """Group stages that must run on one machine, in the order of the graph: a fit and its
    evaluation; all cells of an algorithm with a pending shared pretraining."""
    stages = list(stages)
    shared = {stage.algorithm for stage in stages if stage.step == "pretrain"}
    found: dict[tuple[str, str], Unit] = {}
    for stage in stages:
        product = "" if stage.algorithm in shared else stage.product
        found.setdefault((product, stage.algorithm), []).append(stage)
    return [found[key] for key in sorted(found)]
