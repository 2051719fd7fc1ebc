"""A Prefect server that stays, workers in clones of their own, and a workspace that uses them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from tasks.workspace.paths import Workspace
from tests.s3_servers import free_port

PATIENCE = 1200.0  # seconds; a busy machine takes a while to start a server, a worker and a run
T = TypeVar("T")


class started:  # noqa: N801
    """As a context: a process with its output in a file, ended with all of its own."""

    def __init__(self, words: list[str], environment: dict[str, str], folder: Path) -> None:
        self.path = folder / f"{words[1]}.log"
        self.log = self.path.open("ab")
        self.words = [str(Path(sys.executable).parent / words[0]), *words[1:]]
        self.environment, self.folder = environment, folder

    def __enter__(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            self.words,
            env=self.environment,
            cwd=self.folder,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self.process

    def __exit__(self, *_: Any) -> None:
        family = children(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        kill(family)
        self.log.close()


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def kill(processes: list[psutil.Process]) -> None:
    """kill -9 of those that are still there."""
    for one in processes:
        try:
            one.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def until(found: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    end = time.monotonic() + patience
    while not (value := found()):
        assert time.monotonic() < end, what
        time.sleep(1)
    return value


def prefect_environment(home: Path, port: int) -> dict[str, str]:
    """Of the clients of the server at the port."""
    return os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Environment of a server that stays, with a home of its own."""
    port = free_port()
    environment = prefect_environment(tmp_path / "prefect", port)
    with started(["prefect", "server", "start", "--port", str(port)], environment, tmp_path):
        yield environment


class Farm:
    """A workspace, its remotes, a server and workers that can be killed."""

    def __init__(
        self,
        folder: Path,
        workspace: Workspace,
        environment: dict[str, str],
        pool: str = "inspectline-cells",
    ) -> None:
        self.folder, self.workspace, self.environment = folder, workspace, environment
        self.pool = pool
        self.workers: dict[str, started] = {}

    def line(self, *words: str) -> subprocess.Popen[str]:
        """A command of the line, under way."""
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "-w", str(self.workspace.root), *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def call(self, *words: str) -> str:
        """What a command that ends well says."""
        process = self.line(*words)
        with process:
            text, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, text
        return text

    def online(self) -> list[str]:
        """Workers that take batches of cells; none while the server is away."""
        url = f"{self.environment['PREFECT_API_URL']}/work_pools/{self.pool}/workers/filter"
        try:
            found = httpx.post(url, json={}).json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return []
        return sorted(one["name"] for one in found if one["status"] == "ONLINE")

    def answers(self) -> bool:
        """Whether the server does."""
        try:
            return httpx.get(f"{self.environment['PREFECT_API_URL']}/health").is_success
        except httpx.HTTPError:
            return False

    def start(self, name: str, **variables: str) -> started:
        """A worker with clones of its own, told as `name`."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        words = ["python", "-m", "flows.cli", "worker", str(folder / "clones"), "--name", name]
        worker = started([*words, "--pool", self.pool], self.environment | variables, folder)
        worker.__enter__()
        self.workers[name] = worker
        return worker

    def kill(self, name: str) -> None:
        """kill -9 of a worker and of all that it started: the machine is gone."""
        pid = self.workers[name].process.pid
        family = [psutil.Process(pid), *children(pid)]
        kill(family)
        worker = self.workers.pop(name)
        worker.process.wait()
        worker.log.close()

    def clone(self, name: str) -> Workspace:
        [root] = (self.folder / name / "clones").glob("line-*")
        return Workspace(root)

    def clean(self) -> None:
        """Raise unless DVC has nothing to do."""
        for words in (["dvc", "status"], ["dvc", "repro"]):
            ended = subprocess.run(
                words,
                cwd=self.workspace.root,
                env=self.environment,
                capture_output=True,
                text=True,
                check=True,
            )
            assert "up to date" in ended.stdout, ended.stdout
            assert "Running stage" not in ended.stdout, ended.stdout

    def log(self, name: str) -> str:
        return (self.folder / name / "-m.log").read_text()

    def end(self) -> None:
        for worker in self.workers.values():
            worker.__exit__()


def git(root: Path, *words: str) -> str:
    call = ["git", "-C", str(root), *words]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()


def share(workspace: Workspace, folder: Path, url: str) -> None:
    """Give the workspace a git remote in the folder, and a DVC remote at the URL."""
    git(folder, "init", "--quiet", "--bare", "line.git")
    git(workspace.root, "remote", "add", "origin", str(folder / "line.git"))
    from dvc.repo import Repo

    with Repo(str(workspace.root)) as repo, repo.config.edit() as config:
        config["core"]["remote"] = "far"
        config["remote"]["far"] = {"url": url}
