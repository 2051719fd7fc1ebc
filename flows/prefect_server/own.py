"""A Prefect server of this process, where nobody named one: it ends with the process.

Prefect would start one by itself, but later, so that what stops a run would stop it before it
records the results of tasks, and from a module that imports a whole server into the run.
"""

import atexit
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

from tasks.workspace.environment import variable

API_URL = "PREFECT_API_URL"
SETTINGS = {  # those of a server that Prefect starts by itself
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}
LOCAL = "127.0.0.1"
APP = "prefect.server.api.server:create_app"
AGAIN = 3  # times at most that one which died is launched again
PAUSE = 0.05  # seconds between two questions whether it answers
GRACE = 5.0  # seconds in which it may end by itself


class OwnServer:
    """At most one in a process. `url` is its address once it answers, empty before. One that dies
    afterwards is launched again at the same address: Prefect's clients try for a while."""

    def __init__(self) -> None:
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._lock = threading.RLock()  # of `_process`

    def begin(self, log: Path | None) -> None:
        """Launch it, unless one runs. OSError if the log cannot be written.

        log: what it says; None: this process says it.
        """
        with self._lock:
            if self._process and self._process.poll() is not None:
                self.stop()
            if self._process is None and not self.url:
                if log:
                    log.parent.mkdir(parents=True, exist_ok=True)
                    log.write_bytes(b"")
                self._port = unused_port()
                self._launch(log)

    def start(self, log: Path | None, patience: float) -> None:
        """The same, and return once it answers. RuntimeError if it ends, or is silent for so many
        seconds."""
        until = time.monotonic() + patience
        self.begin(log)
        while self._process and not self.url:
            why = _silent(address(self._port), self._process, until)
            if not why:
                self.use(address(self._port))
                return
            self.stop()
            if not listened_on(self._port):
                raise RuntimeError(why)
            self.begin(log)  # another program took the port in between

    def _launch(self, log: Path | None, again: int = AGAIN) -> None:
        process = self._process = launch(self._port, log)
        dismiss = _end_with_us(process.pid)

        def keep() -> None:
            process.wait()
            dismiss()  # its number may be another program's now
            with self._lock:
                if again and self.url and self._process is process:
                    self._launch(log, again - 1)

        threading.Thread(target=keep, name="Prefect's server", daemon=True).start()

    def use(self, url: str) -> None:
        """Have Prefect use the server at this address in this process; empty: none. What this
        process starts is not told: it would take the server for one that stays."""
        self.url = url
        with variable(API_URL, url or None):
            from prefect.context import refresh_global_settings_context

            refresh_global_settings_context()

    def stop(self) -> None:
        """End it. Nothing to do where none was started here."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.use("")


def launch(port: int, log: Path | None) -> subprocess.Popen[bytes]:
    """A server's process on a port of this machine. Its session is its own: Ctrl-C, `timeout` and a
    terminal that closes do not reach it."""
    nowhere = ["--app-dir", sys.prefix]  # or modules of the working folder would come first
    words = [sys.executable, "-P", "-m", "uvicorn", *nowhere, "--factory", APP]
    words += ["--log-level", "error", "--lifespan", "on", "--host", LOCAL, "--port", str(port)]
    with log.open("ab") if log else nullcontext() as output:
        return subprocess.Popen(
            words,
            env=os.environ | SETTINGS,
            start_new_session=True,
            stdout=output,
            stderr=output,
        )


def address(port: int) -> str:
    return f"http://{LOCAL}:{port}/api"


def unused_port() -> int:
    with socket.socket() as asked:
        asked.bind((LOCAL, 0))
        return int(asked.getsockname()[1])


def listened_on(port: int) -> bool:
    """Whether a program of this machine does."""
    with socket.socket() as asked:
        return asked.connect_ex((LOCAL, port)) == 0


def answers(url: str) -> bool:
    """Whether a Prefect server does, at an address of this machine."""
    import httpx

    with suppress(httpx.HTTPError):
        return httpx.get(f"{url}/health", trust_env=False).is_success
    return False


def _silent(url: str, process: subprocess.Popen[bytes], until: float) -> str:
    """Wait for an answer until then; why there is none."""
    while process.poll() is None:
        if answers(url):
            return ""
        if time.monotonic() > until:
            return "it does not answer"
        time.sleep(PAUSE)
    return f"it ended with status {process.returncode}"


def _end_with_us(server: int) -> Callable[[], None]:
    """Also end the server if this process is killed: then the watcher's input closes. Returned is
    what ends the watcher."""
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
    return dismiss


own = OwnServer()
atexit.register(own.stop)
