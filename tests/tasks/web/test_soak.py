"""Minutes of good, bad and hostile requests, while champions change and the store goes away.

INSPECTLINE_SOAK says how many seconds, INSPECTLINE_SOAK_CHANGE how many between two changes,
INSPECTLINE_SOAK_PAUSE how many between two requests of a client. Prints what was asked and
answered, latency and memory.
"""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tasks.store.champion import champion, promote, rollback
from tasks.store.opening import store_of
from tasks.workspace.paths import find
from tests.tasks.web.test_serving import another_release, images, make_line, png

SECONDS = float(os.environ.get("INSPECTLINE_SOAK", "120"))
CHANGE = float(os.environ.get("INSPECTLINE_SOAK_CHANGE", "3"))  # of the champion
PAUSE = float(os.environ.get("INSPECTLINE_SOAK_PAUSE", "0"))
AWAY = 8.0  # seconds that the store is away
AWAYS = 1 + int(SECONDS // 600)  # how often, evenly
GOOD, HOSTILE = 4, 3  # clients


class Soak:
    """What was asked and answered; `over` ends every client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.over = threading.Event()
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.seconds: list[float] = []
        self.releases: Counter[str] = Counter()
        self.health: Counter[str] = Counter()
        self.memory: list[float] = []  # MB, once a second
        self.cpu = 0.0  # seconds that the service used

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def good(self, bodies: list[bytes]) -> None:
        """Images that are to be inspected; anything but a verdict is wrong."""
        with self.client() as client:
            for number, body in enumerate(itertools.cycle(bodies)):
                if self.over.is_set():
                    return
                began = time.monotonic()
                try:
                    heat = {"heat_map": number % 5 == 0}
                    answer = client.post("/products/plate/inspect", content=body, params=heat)
                    told = answer.json()
                    assert answer.status_code == 200 and told["decision"] in ("good", "defect")
                    self.releases[told["release"]] += 1
                    self.seconds.append(time.monotonic() - began)
                    self.answers["good 200"] += 1
                except Exception as error:
                    self.wrong.append(f"good: {error!r}")
                self.over.wait(PAUSE)

    def hostile(self, seed: int) -> None:
        """Requests that are to be refused, each as it should."""
        random = np.random.default_rng(seed)
        with self.client() as client:
            for name, content, path, status in itertools.cycle(bad_requests()):
                if self.over.is_set():
                    return
                try:
                    answer = client.post(path, content=content)
                    self.answers[f"{name} {answer.status_code}"] += 1
                    if answer.status_code != status or list(answer.json()) != ["error"]:
                        self.wrong.append(f"{name}: {answer.status_code} {answer.text[:200]}")
                    self.rude(random)
                except Exception as error:
                    self.wrong.append(f"{name}: {error!r}")
                self.over.wait(PAUSE)

    def rude(self, random: np.random.Generator) -> None:
        """A connection that says garbage, half a request or nothing, and goes, or stays a while."""
        host, port = self.url.removeprefix("http://").split(":")
        head = b"POST /products/plate/inspect HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n"
        said = [b"", random.bytes(200), head[:40], head + b"\x89PNG", head + random.bytes(9999)]
        with socket.create_connection((host, int(port)), timeout=20) as one:
            one.sendall(said[int(random.integers(len(said)))])
            time.sleep(float(random.random()) * 0.2)
        self.answers["rude"] += 1

    def look(self, process: psutil.Process) -> None:
        """Health and memory, once a second."""
        with self.client() as client:
            while not self.over.wait(1.0):
                try:
                    self.health[client.get("/healthz").json()["status"]] += 1
                    assert client.get("/metrics").status_code == 200
                    assert client.get("/products").status_code == 200
                except Exception as error:
                    self.wrong.append(f"health: {error!r}")
                self.memory.append(process.memory_info().rss / 1e6)
                self.cpu = sum(process.cpu_times()[:2])


def bad_requests():
    inspect = "/products/plate/inspect"
    return [
        ("no image", b"hello", inspect, 415),
        ("empty", b"", inspect, 422),
        ("truncated", png(300, 300, 9)[:-30], inspect, 422),
        ("bomb", png(8000, 8000), inspect, 422),
        ("too long", bytes(3_000_000), inspect, 413),
        ("odd option", png(8, 8), f"{inspect}?heat_map=zz", 422),
        ("unknown product", png(8, 8), "/products/../../etc/inspect", 404),
        ("unknown path", b"{}", "/login", 404),
        ("wrong method", b"", "/healthz", 405),
    ]


@pytest.fixture
def line(tmp_path: Path) -> Path:
    return make_line(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(SECONDS + 900)
def test_a_service_stands_minutes_of_everything(line, tmp_path):
    store = store_of(find(line))
    second = another_release(line, tmp_path / "again", display_span=3.0)
    command = [sys.executable, "-m", "flows.cli", "-w", str(line), "serve", "plate"]
    options = ["--port", "0", "--every", "0.5", "--upload-mb", "2", "--log", str(tmp_path / "log")]
    log = (tmp_path / "said").open("w+")
    service = subprocess.Popen([*command, *options], stderr=log)
    try:
        url = wait_for(tmp_path / "said", service)
        soak = Soak(url)
        bodies = [path.read_bytes() for path in images(line)] + [png(1500, 2000, 99)]
        clients = [threading.Thread(target=soak.good, args=(bodies,)) for _ in range(GOOD)]
        clients += [threading.Thread(target=soak.hostile, args=(n,)) for n in range(HOSTILE)]
        clients.append(threading.Thread(target=soak.look, args=(psutil.Process(service.pid),)))
        for client in clients:
            client.start()
        changes = change_champions(store, second, line / "store", time.monotonic() + SECONDS)
        soak.over.set()
        for client in clients:
            client.join(60)
        tell(soak, changes)
        assert service.poll() is None
    finally:
        service.send_signal(signal.SIGINT)
        assert service.wait(300) == 0
        log.close()
    said = (tmp_path / "said").read_text()
    assert soak.wrong == [], soak.wrong[:5]
    assert len(soak.releases) == 2 and changes > 2
    assert soak.health["ok"] and soak.health["degraded"]  # while the store was away
    assert len(said) < 20_000 and "Traceback" not in said, said[:2000]
    third = len(soak.memory) // 3
    early, late = max(soak.memory[:third]), max(soak.memory[-third:])
    assert late < 1.15 * early + 60, (early, late)


def change_champions(store, second: str, folder: Path, end: float) -> int:
    """Promote and roll back in turn until then; now and then the store is away for a while."""
    began, changes, aways = time.monotonic(), 0, 0
    while time.monotonic() < end:
        time.sleep(CHANGE)
        if time.monotonic() > began + (aways + 1) * (end - began) / (AWAYS + 1):
            aways += 1
            folder.rename(folder.with_name("away"))
            time.sleep(AWAY)
            folder.with_name("away").rename(folder)
        current = champion(store, "plate")
        if current is not None and current.release != second:
            promote(store, "plate", second, reason="soak", by="test")
        else:
            rollback(store, "plate", reason="soak", by="test")
        changes += 1
    return changes


def wait_for(said: Path, service: subprocess.Popen) -> str:
    end = time.monotonic() + 600
    while not (found := re.search(r"http://\S+:\d+", said.read_text())):
        assert service.poll() is None and time.monotonic() < end, said.read_text()
        time.sleep(0.1)
    return found[0]


def sixths(memory: list[float]) -> list[int]:
    return [round(max(part)) for part in np.array_split(memory, 6)]


def tell(soak: Soak, changes: int) -> None:
    latency = dict(
        zip(("p50", "p95", "p99"), np.quantile(soak.seconds, [0.5, 0.95, 0.99]), strict=True)
    )
    figures = {
        "seconds": SECONDS,
        "changes of the champion": changes,
        "answers": dict(soak.answers),
        "unasked errors": len(soak.wrong),
        "the first of them": soak.wrong[:5],
        "latency s": {name: round(float(value), 3) for name, value in latency.items()},
        "memory MB, first and last minute": [max(soak.memory[:60]), max(soak.memory[-60:])],
        "CPU seconds of the service": soak.cpu,
        "memory MB, highest of each sixth": sixths(soak.memory),
        "health": dict(soak.health),
    }
    print(json.dumps(figures, indent=1))
