"""The Prefect server of a run: the one of PREFECT_API_URL, or one started for the run."""

import atexit
import ipaddress
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tasks.workspace.errors import LineError
from tasks.workspace.secrets import without_password

PORT, PORTS = 4200, 100  # of Prefect's server; how many are looked at
NOT_FOUND = 404  # what any other web server says of Prefect's pages
PATIENCE = 10.0  # seconds for a server to answer

LOG = "inspectline-server.log"  # in PREFECT_HOME: what the server of a run said
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SETTINGS = {  # settings of Prefect, if the user has not set them
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}


def start_server(verbose: bool = False) -> None:
    """Make sure that a server answers; LineError if none does.

    Prefect would start its own server later, and what stops a run would stop it before it records
    the results of tasks. A server started here has a session of its own, which Ctrl-C, `timeout`
    and a terminal that closes do not reach, and ends with this process.
    """
    _set(verbose)
    import httpx
    from prefect.settings import PREFECT_API_URL

    if url := PREFECT_API_URL.value():
        _check_server(url)
        return
    from prefect.server.api.server import SubprocessASGIServer

    home = prefect_home()
    try:
        with own_session(home / LOG, verbose):
            SubprocessASGIServer().start()
    except (RuntimeError, OSError, httpx.HTTPError) as error:
        SubprocessASGIServer().stop()
        raise LineError(
            f"Prefect's own server does not start: {str(error).splitlines()[0]}; is {home} "
            f"writable, and the machine not too busy? Its output is in {home / LOG}. "
            "PREFECT_HOME names another folder, "
            "PREFECT_API_URL a server that runs, "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS how long to wait"
        ) from error


@contextmanager
def starting_server() -> Iterator[None]:
    """Have a server start beside what is done inside. What goes wrong with it is told by the
    `start_server` behind that."""

    def start() -> None:
        with suppress(LineError):
            start_server()

    thread = threading.Thread(target=start, name="starting Prefect", daemon=True)
    thread.start()
    yield
    thread.join()


@contextmanager
def own_session(log: Path, verbose: bool) -> Iterator[None]:
    """Inside, what Prefect's server module starts gets a session of its own, ends with this process
    however that ends, and its output goes to a file if nobody asked for it: Prefect has no option
    for any of these."""
    from prefect.server.api import server as module

    log.parent.mkdir(parents=True, exist_ok=True)
    with nullcontext() if verbose else log.open("wb") as output:

        def start(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
            apart: dict[str, Any] = {"start_new_session": True, "stdout": output, "stderr": output}
            process = subprocess.Popen(*words, **options | apart)
            _end_with_us(process.pid)
            return process

        class Detached:
            Popen = staticmethod(start)

            def __getattr__(self, name: str) -> Any:
                return getattr(subprocess, name)

        module.subprocess = Detached()
        try:
            yield
        finally:
            module.subprocess = subprocess


def prefect_home() -> Path:
    """Where Prefect keeps what it needs; a user without a home has a temporary folder."""
    from prefect.settings import PREFECT_HOME

    return Path(PREFECT_HOME.value())


def require_server(verbose: bool = False) -> None:
    """Check that the server of PREFECT_API_URL answers; LineError if not."""
    _check_server(server_url(verbose))


def server_url(verbose: bool = False) -> str:
    """The address in PREFECT_API_URL; LineError if it is not set."""
    _set(verbose)
    from prefect.settings import PREFECT_API_URL

    if not (url := PREFECT_API_URL.value()):
        port = free_port(PORT)
        raise LineError(
            f"no Prefect server is named; start one ({start_words(port)}), then set "
            f"PREFECT_API_URL, for example http://127.0.0.1:{port}/api"
        )
    return url


def free_port(first: int) -> int:
    """The first port of this machine from `first` on that nobody listens on."""
    for port in range(first, first + PORTS):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)):
                return port
    return first


def start_words(port: int) -> str:
    """The command that starts a server on a port."""
    taken = f" --port {port}`, for another program has {PORT}" if port != PORT else "`"
    return f"`prefect server start{taken}"


def open_to_all(url: str) -> str:
    """A warning, where a server elsewhere lets everybody in who reaches it; otherwise empty.

    It is asked without the password or key that is set here. One that is silent is not judged.
    """
    import httpx

    if on_this_machine(url):
        return ""
    address = without_password(url)
    try:
        answer = httpx.post(f"{address}/work_pools/filter", json={}, timeout=PATIENCE)
    except httpx.HTTPError:
        return ""
    if not answer.is_success:
        return ""
    return (
        f"warning: everybody who reaches the Prefect server at {address} can run commands on "
        "its workers, because it asks for no password; keep it in a closed network, and start it "
        "with PREFECT_SERVER_API_AUTH_STRING (docs/deployment.md)"
    )


def on_this_machine(url: str) -> bool:
    """Whether an address is of this machine alone."""
    name = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def end_server() -> None:
    """End the server that was started here, if any."""
    from prefect.server.api.server import SubprocessASGIServer

    SubprocessASGIServer().stop()


def _set(verbose: bool) -> None:
    for name, value in SETTINGS.items():
        if not (verbose and "LOGGING" in name):
            os.environ.setdefault(name, value)
    reach_loopback()


def reach_loopback() -> None:
    """Have a proxy of the environment left out for this machine's own addresses: a proxy cannot
    reach them."""
    for name in ("no_proxy", "NO_PROXY"):
        known = [host for host in os.environ.get(name, "").split(",") if host.strip()]
        missing = [host for host in LOOPBACK if host not in known and "*" not in known]
        os.environ[name] = ",".join([*known, *missing])


def _end_with_us(server: int) -> None:
    """Also end the server if this process is killed: then the watcher's input closes."""
    watcher = subprocess.Popen(
        ["sh", "-c", f"read _; kill {server}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def dismiss() -> None:
        watcher.kill()
        watcher.communicate()

    atexit.register(dismiss)


def _check_server(url: str) -> None:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        error = client.api_healthcheck()
    if error is None:
        return
    where, unset = without_password(url), "(`prefect config unset PREFECT_API_URL`)"
    if getattr(getattr(error, "response", None), "status_code", None) == NOT_FOUND:
        port = free_port(PORT)
        raise LineError(
            f"another program, and no Prefect server, answers at {where}; start one "
            f"(`prefect server start --port {port}`) and set PREFECT_API_URL to its address, or "
            f"unset it {unset} to have one started for the run on a port that is free"
        ) from error
    raise LineError(
        f"no Prefect server answers at {where} ({error}); start it, or unset PREFECT_API_URL "
        f"{unset} to have one started for the run"
    ) from error
