"""The status of a batch: one document for the coordinator, rewritten every few seconds.

It is an artifact of the batch's run on the Prefect server, complete each time. If the server is not
available, the next post brings everything. If no post arrives for long enough, the worker is lost.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.exceptions import ObjectNotFound

from flows.prefect_server.artifacts import AWAY
from flows.running.progress import Terminal

BEAT = 10.0  # seconds


@dataclass
class BatchStatus:
    worker: str = ""
    beat: int = 0
    running: dict[str, list[Any]] = field(default_factory=dict)  # stage: step, fraction, metrics
    done: dict[str, dict[str, Any]] = field(default_factory=dict)  # stage: its entry of dvc.lock
    failed: dict[str, str] = field(default_factory=dict)  # stage: why
    elsewhere: dict[str, str] = field(
        default_factory=dict
    )  # stage: why; may succeed on another machine
    ended: bool = False


def artifact_key(run: UUID) -> str:
    return f"batch-{run}"


def read_statuses(client: SyncPrefectClient, runs: Iterable[UUID]) -> dict[UUID, BatchStatus]:
    """The statuses of batches that have started."""
    keys = {artifact_key(run): run for run in runs}
    wanted = ArtifactFilter(key=ArtifactFilterKey(any_=list(keys)))
    found = client.read_artifacts(artifact_filter=wanted) if keys else []
    return {keys[str(one.key)]: BatchStatus(**json.loads(_inside(one.data))) for one in found}


def _inside(text: Any) -> str:
    """The JSON in a block of Markdown."""
    return str(text).removeprefix("```json\n").removesuffix("\n```")


class StatusPoster(threading.Thread):
    """Posts the status `now` every BEAT seconds. Use as a context.

    `over` is called when the server says that the run has ended: it is no longer needed.
    """

    def __init__(self, run: UUID, worker: str, over: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.run_id = run
        self.now = BatchStatus(worker)
        self.over = over
        self._open = ExitStack()
        self._artifact: UUID | None = None
        self._busy = threading.RLock()  # of `now`
        self._posting = threading.Lock()
        self._end = threading.Event()

    def __enter__(self) -> "StatusPoster":
        self._client = self._open.enter_context(get_client(sync_client=True))
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        with self._posting:
            self._open.close()

    @contextmanager
    def changing(self) -> Iterator[BatchStatus]:
        """The status, to change it; the next post sends it."""
        with self._busy:
            yield self.now

    def run(self) -> None:
        while not self._end.wait(BEAT if self.now.beat else 0.0):
            self.post()

    def post(self) -> bool:
        """Post the status; whether the server has it now."""
        with self._posting:
            if self._end.is_set():
                return True
            with self._busy:
                self.now.beat += 1
                text = f"```json\n{json.dumps(asdict(self.now))}\n```"
            try:
                state = self._client.read_flow_run(self.run_id).state
                self._put(self._client, text)
            except ObjectNotFound:  # not the server that started the batch
                state = None
            except AWAY:
                return False
            if state is None or state.is_final():
                self.over()
            return True

    def end(self, patience: float) -> None:
        """Post the last status; wait if the server is not available."""
        with self.changing() as now:
            now.ended = True
        until = time.monotonic() + patience
        while not self.post() and time.monotonic() < until:
            time.sleep(BEAT)

    def _put(self, client: SyncPrefectClient, text: str) -> None:
        if self._artifact is None:
            artifact = ArtifactCreate(
                key=artifact_key(self.run_id), type="markdown", data=text, flow_run_id=self.run_id
            )
            self._artifact = client.create_artifact(artifact).id
            return
        # `update_artifact` would send the text twice, once as an event that is kept for a week
        client.request(
            "PATCH",
            "/artifacts/{id}",
            path_params={"id": self._artifact},
            json={"data": text},
        ).raise_for_status()


class StatusTerminal(Terminal):
    """Also writes the progress of stages into the status."""

    def __init__(self, total: int, poster: "StatusPoster") -> None:
        super().__init__(total)
        self.poster = poster

    def start(self, name: str) -> None:
        super().start(name)
        self._post(name, "", 0.0, {})

    def update(self, name: str, stage: str, fraction: float, metrics: dict[str, float]) -> None:
        super().update(name, stage, fraction, metrics)
        self._post(name, stage, fraction, metrics)

    def end(self, name: str, outcome: str) -> None:
        super().end(name, outcome)
        with self.poster.changing() as now:
            now.running.pop(name, None)

    def _post(self, name: str, *how: Any) -> None:
        with self.poster.changing() as now:
            now.running[name] = list(how)
