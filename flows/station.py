"""Machines that take batches of cells: their pool, and a Prefect worker that is started again
where it gives up."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

CELLS = "inspectline-cells"  # the pool, and the flow whose runs are batches
CLONES = "INSPECTLINE_CLONES"  # folder of a worker's clones
NAME = "INSPECTLINE_WORKER"  # what it is called
PAUSE = 10.0  # seconds before a worker that ended by itself is started again
LOOK = "5"  # seconds from look to look for a batch


def register(client: "SyncPrefectClient", name: str) -> list[str]:
    """Where batches of a workspace's cells go; no limits there: slots are the workers' own."""
    from prefect.types.entrypoint import EntrypointType

    from flows.batch import cells

    made = make_pool(client, CELLS)
    deployment = cells.to_deployment(
        name, work_pool_name=CELLS, entrypoint_type=EntrypointType.MODULE_PATH
    )
    deployment.apply()  # type: ignore[union-attr]
    return [made, f"set  deployment {CELLS}/{name}"]


def make_pool(client: "SyncPrefectClient", name: str) -> str:
    """A work pool of processes, made or kept; says which."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound

    try:
        client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=name, type="process"))
        return f"made work pool {name}"
    return f"kept work pool {name}"


def serve(directory: Path, name: str | None) -> None:
    """Take batches, one at a time, until SIGINT or SIGTERM."""
    directory.mkdir(parents=True, exist_ok=True)
    environment = {"PREFECT_WORKER_QUERY_SECONDS": LOOK, "PREFECT_LOGGING_LEVEL": "INFO"}
    name = name or socket.gethostname()
    environment |= os.environ | {CLONES: str(directory.absolute()), NAME: name}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    command += ["--pool", CELLS, "--limit", "1", "--name", name]
    ended: list[int] = []

    def end(number: int, _: Any) -> None:
        ended.append(number)
        process.send_signal(number)

    while not ended:
        process = subprocess.Popen(command, env=environment)  # who is told of Ctrl-C by us
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        process.wait()
        if not ended:
            click.echo(f"the worker ended ({process.returncode}); it starts again", err=True)
            time.sleep(PAUSE)
