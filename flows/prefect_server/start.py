"""The Prefect server of a run: the one of PREFECT_API_URL, or one started for the run."""

import ipaddress
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flows.prefect_server.own import listened_on, own
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


def begin_server(verbose: bool = False) -> None:
    """Have a server start beside what comes next, where none is named. `start_server` waits for it,
    and tells what goes wrong."""
    _set(verbose)
    if not named_server():
        with suppress(OSError):
            own.begin(_log(verbose))


def start_server(verbose: bool = False) -> None:
    """Make sure that a server answers; LineError if none does."""
    _set(verbose)
    from prefect.settings import PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS

    if url := named_server():
        _check_server(url)
        return
    home = prefect_home()
    try:
        own.start(_log(verbose), PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.value())
    except (RuntimeError, OSError) as error:
        raise LineError(
            f"Prefect's own server does not start: {str(error).splitlines()[0]}; is {home} "
            f"writable, and the machine not too busy? Its output is in {home / LOG}. "
            "PREFECT_HOME names another folder, "
            "PREFECT_API_URL a server that runs, "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS how long to wait"
        ) from error


def named_server() -> str:
    """The address of the server that stays, which the user named; empty if there is none."""
    from prefect.settings import PREFECT_API_URL

    url = PREFECT_API_URL.value() or ""
    return "" if url == own.url else url


def prefect_home() -> Path:
    """Where Prefect keeps what it needs; a user without a home has a temporary folder."""
    from prefect.settings import PREFECT_HOME

    return Path(PREFECT_HOME.value())


def _log(verbose: bool) -> Path | None:
    return None if verbose else prefect_home() / LOG


def require_server(verbose: bool = False) -> None:
    """Check that the server of PREFECT_API_URL answers; LineError if not."""
    _check_server(server_url(verbose))


def server_url(verbose: bool = False) -> str:
    """The address in PREFECT_API_URL; LineError if it is not set."""
    _set(verbose)
    if not (url := named_server()):
        port = free_port(PORT)
        raise LineError(
            f"no Prefect server is named; start one ({start_words(port)}), then set "
            f"PREFECT_API_URL, for example http://127.0.0.1:{port}/api"
        )
    return url


def free_port(first: int) -> int:
    """The first port of this machine from `first` on that nobody listens on."""
    for port in range(first, first + PORTS):
        if not listened_on(port):
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
