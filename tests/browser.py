"""A headless Chromium, driven over its DevTools protocol: what a page does and asks for."""

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    *("--disable-dev-shm-usage", "--remote-debugging-port=0", "--remote-allow-origins=*"),
]
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38}
KEYS |= {"ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35}
PATIENCE = 60.0  # seconds


class Browser:
    """One tab. errors: what the console was told; requests: every address asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.loaded = False
        self._number = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command."""
        self._number += 1
        self.socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            told = json.loads(self.socket.recv(timeout=PATIENCE))
            if told.get("id") == self._number:
                assert "error" not in told, told["error"]
                return dict(told["result"])
            self._heard(told.get("method", ""), told.get("params", {}))

    def _heard(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", str(details)))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(str(params["args"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def open(self, address: str) -> None:
        """Go there and wait until the page is whole."""
        self.loaded = False
        self.call("Page.navigate", url=address)
        until = time.monotonic() + PATIENCE
        while not self.loaded and time.monotonic() < until:
            self.run("0")
            time.sleep(0.02)
        assert self.loaded, f"{address} is not loaded after {PATIENCE:.0f} s"

    def run(self, script: str) -> Any:
        """The value of an expression on the page; promises are waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        until = time.monotonic() + PATIENCE
        while not self._holds(condition):
            assert time.monotonic() < until, f"never true: {condition}"
            time.sleep(0.02)

    def _holds(self, condition: str) -> bool:
        """Whether it is true now; not where the page is just replaced by another one."""
        try:
            return bool(self.run(f"Boolean({condition})"))
        except AssertionError as error:
            if "navigated" in str(error):
                return False
            raise

    def press(self, *keys: str) -> None:
        """Keys by name, or characters."""
        for key in keys:
            code = KEYS.get(key, 0)
            about: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": code}
            text = {"Enter": "\r", " ": " "}.get(key, key if len(key) == 1 else "")
            shift = {"modifiers": 8} if key == "Backtab" else {}
            if key == "Backtab":
                about |= {"key": "Tab", "windowsVirtualKeyCode": 9}
            down = {"type": "keyDown" if text else "rawKeyDown", **({"text": text} if text else {})}
            self.call("Input.dispatchKeyEvent", **down, **about, **shift)
            self.call("Input.dispatchKeyEvent", type="keyUp", **about, **shift)

    def look(self, width: int, height: int, dark: bool = False, printed: bool = False) -> None:
        """The size of the window, and how the page is to look."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if printed else "", features=[scheme])

    def picture(self, path: Path, whole: bool = False) -> Path:
        """A screenshot, of the window or of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {**size, "scale": 1}}


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A tab of a Chromium of its own; skipped where there is none."""
    if not CHROMIUM:
        pytest.skip("no chromium on the PATH")
    profile = Path(tempfile.mkdtemp(dir=folder))
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(address(profile, process), max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(timeout=30)


def address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the tab listens, as Chromium writes into its profile once it is up."""
    from urllib.request import urlopen

    told = profile / "DevToolsActivePort"
    until = time.monotonic() + PATIENCE
    while not told.is_file() or len(told.read_text().split()) < 2:
        assert process.poll() is None and time.monotonic() < until, "chromium did not start"
        time.sleep(0.05)
    port = told.read_text().split()[0]
    with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        tabs = json.load(answer)
    return str(next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page"))
