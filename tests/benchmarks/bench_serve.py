"""Requests per second and latency of the HTTP service, on loopback, at 1, 8 and 32 clients.

    python -m tests.benchmarks.bench_serve PRODUCT [--workspace DIR] [--seconds 20]
                                           [--clients 1 8 32]

The images are the product's own test images. Prints one line a number of clients: answers a
second, median and 95th percentile in ms, errors, batch size, and the service's memory before and
after.
"""

import argparse
import itertools
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil

from tasks.workspace.paths import find
from tests.s3_servers import free_port

CLIENTS = (1, 8, 32)
WARM = 3.0  # seconds that do not count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("product")
    parser.add_argument("--workspace", type=Path)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    asked = parser.parse_args()
    workspace = find(asked.workspace)
    images = sorted(workspace.images(asked.product).glob("test/*/*"))[:50]
    bodies = [path.read_bytes() for path in images]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = ["-w", str(workspace.root), "serve", asked.product, "--port", str(port)]
    plain = {name: value for name, value in os.environ.items() if name != "INSPECTLINE_TOKEN"}
    service = subprocess.Popen([sys.executable, "-m", "flows.cli", *words], env=plain)
    try:
        wait_for(url, service)
        print(
            "clients  per second  median ms  p95 ms  errors  images/batch  memory MB, first to last"
        )
        for clients in asked.clients:
            load(f"{url}/products/{asked.product}/inspect", bodies, clients, WARM)
            before, at_first = batches(url), memory_mb(service)
            times, errors = load(
                f"{url}/products/{asked.product}/inspect", bodies, clients, asked.seconds
            )
            count, total = (now - then for now, then in zip(batches(url), before, strict=True))
            middle, high = np.percentile(times, [50, 95]) * 1000 if times else (np.nan, np.nan)
            print(
                f"{clients:7d}  {len(times) / asked.seconds:10.1f}  {middle:9.1f}  {high:6.1f}"
                f"  {errors:6d}  {total / max(count, 1):12.2f}"
                f"  {at_first:6.0f} to {memory_mb(service):.0f}",
                flush=True,
            )
    finally:
        service.terminate()
        service.wait()


def memory_mb(service: "subprocess.Popen[bytes]") -> float:
    return psutil.Process(service.pid).memory_info().rss / 2**20


def wait_for(url: str, service: "subprocess.Popen[bytes]") -> None:
    while service.poll() is None:
        try:
            httpx.get(f"{url}/healthz", timeout=5, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.5)
    sys.exit("the service does not start")


def load(url: str, bodies: list[bytes], clients: int, seconds: float) -> tuple[list[float], int]:
    """Seconds of each answer within the time, and how many were no 200."""
    end = time.monotonic() + seconds
    times: list[float] = []
    wrong: list[int] = []

    def ask(first: int) -> None:
        with httpx.Client(timeout=120, trust_env=False) as client:
            for index in itertools.count(first):
                began = time.monotonic()
                if began >= end:
                    return
                answer = client.post(url, content=bodies[index % len(bodies)])
                if answer.status_code != 200:
                    wrong.append(answer.status_code)
                elif (now := time.monotonic()) <= end:
                    times.append(now - began)

    threads = [threading.Thread(target=ask, args=(7 * n,)) for n in range(clients)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return times, len(wrong)


def batches(url: str) -> tuple[float, float]:
    """Batches so far, and images in them."""
    text = httpx.get(f"{url}/metrics", timeout=60, trust_env=False).text
    read = (re.search(rf"inspectline_batch_images_{name} (\S+)", text) for name in ("count", "sum"))
    count, total = (float(found.group(1)) if found else 0.0 for found in read)
    return count, total


if __name__ == "__main__":
    main()
