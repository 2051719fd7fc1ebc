"""The Prefect server of a run: the one of PREFECT_API_URL, or one started for the run."""

import atexit
import ipaddress
import os
import signal
import subprocess
from urllib.parse import urlsplit

from tasks.workspace.errors import LineError
from tasks.workspace.secrets import without_password

PATIENCE = 10.0  # seconds for a server to answer

SETTINGS = {  # settings of Prefect, if the user has not set them
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}


def start_server(verbose: bool = False) -> None:
    """Make sure that a server answers; LineError if none does.

    Prefect would start its own server later, and Ctrl-C would stop it before it records the results
    of tasks. A server started here ignores Ctrl-C and ends with this process.
    """
    _set(verbose)
    import httpx
    from prefect.settings import PREFECT_API_URL

    if url := PREFECT_API_URL.value():
        _check_server(url)
        return
    from prefect.server.api.server import SubprocessASGIServer

    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server = SubprocessASGIServer()
        begins = not server.running
        server.start()
        if begins and server.server_process:
            _end_with_us(server.server_process.pid)
    except (RuntimeError, OSError, httpx.HTTPError) as error:
        SubprocessASGIServer().stop()
        home = os.environ.get("PREFECT_HOME", "~/.prefect")
        raise LineError(
            f"Prefect's own server does not start: {str(error).splitlines()[0]}; is {home} "
            "writable, and the machine not too busy? PREFECT_HOME names another folder, "
            "PREFECT_API_URL a server that runs, "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS how long to wait"
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def require_server(verbose: bool = False) -> None:
    """Check that the server of PREFECT_API_URL answers; LineError if not."""
    _check_server(server_url(verbose))


def server_url(verbose: bool = False) -> str:
    """The address in PREFECT_API_URL; LineError if it is not set."""
    _set(verbose)
    from prefect.settings import PREFECT_API_URL

    if not (url := PREFECT_API_URL.value()):
        raise LineError(
            "no Prefect server is named; start one (`prefect server start`), then set "
            "PREFECT_API_URL, for example http://127.0.0.1:4200/api"
        )
    return url


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
        f"warning: whoever reaches the Prefect server at {address} can run commands on its "
        "workers, because it asks for no password; keep it in a closed network, and start it with "
        "PREFECT_SERVER_API_AUTH_STRING (docs/deployment.md)"
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
    if error is not None:
        raise LineError(
            f"no Prefect server answers at {url} ({error}); start it, or unset PREFECT_API_URL "
            "(`prefect config unset PREFECT_API_URL`) to have one started for the run"
        ) from error
