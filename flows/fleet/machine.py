"""A machine that takes batches of cells: a Prefect worker, started again if it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from flows.prefect_server.names import CELLS, CLONES, NAME

PAUSE = 10.0  # seconds before a worker that ended is started again
LOOK = "5"  # seconds between checks for a batch


def run_worker(directory: Path, name: str | None, pool: str = CELLS) -> None:
    """Take batches, one at a time, until SIGINT or SIGTERM."""
    directory.mkdir(parents=True, exist_ok=True)
    environment = {"PREFECT_WORKER_QUERY_SECONDS": LOOK, "PREFECT_LOGGING_LEVEL": "INFO"}
    name = name or socket.gethostname()
    environment |= os.environ | {CLONES: str(directory.absolute()), NAME: name}
    command = [sys.executable, "-m", "prefect", "worker", "start", "--type", "process"]
    command += ["--pool", pool, "--limit", "1", "--name", name]
    ended: list[int] = []

    def end(number: int, _: Any) -> None:
        ended.append(number)
        process.send_signal(number)

    while not ended:
        process = subprocess.Popen(command, env=environment)  # we forward Ctrl-C to it
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        process.wait()
        if not ended:
            click.echo(f"the worker ended ({process.returncode}); it starts again", err=True)
            time.sleep(PAUSE)
