"""What cells on workers cost the line: PRODUCTS x ALGORITHMS no-op cells through two workers.

python tests/benchmarks/bench_dispatch.py [--products 15] [--algorithms 3 24] [--workers 2]
    [--nice 10]

A Prefect server on SQLite, workers in clones of their own, git and DVC remotes in folders. For each
number of algorithms a workspace of its own is trained once. Prints CPU seconds of coordinator and
workers, the coordinator's peak memory, and wall seconds, which depend on what else is going on.
With two workers or more on a busy machine the last one is the slower: --nice is how it is niced.
Idle is a worker without a batch, from the first batch of the run to the end of its last one.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from bench_line import Bench, draw


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Watch(threading.Thread):
    """CPU seconds of a process with all that it starts, the peak memory of itself, and how
    many processes they are."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.cpu = 0.0
        self.peak = 0
        self.family: list[tuple[float, int]] = []  # (seconds, processes), one a sample
        self.start()

    def run(self) -> None:
        while self.process.is_running():
            try:
                self.peak = max(self.peak, self.process.memory_info().rss)
                family = [self.process, *self.process.children(recursive=True)]
                # the first four: its own, and of its children that have ended
                self.cpu = max(self.cpu, sum(sum(one.cpu_times()[:4]) for one in family))
                self.family.append((time.monotonic(), len(family)))
            except psutil.Error:
                continue
            time.sleep(0.2)


def idle(workers: list[Watch], begun: float) -> list[float]:
    """Share of the time without a batch of each worker, from the first batch of any of them since
    `begun` to the last. A batch is a process more than before."""
    found = []
    for worker in workers:
        usual = max(count for at, count in worker.family if at < begun)
        found.append([(at, count > usual) for at, count in worker.family if at >= begun])
    times = [at for samples in found for at, busy in samples if busy]
    first, last = min(times), max(times)
    within = [[busy for at, busy in samples if first <= at <= last] for samples in found]
    return [1 - sum(busy) / len(busy) for busy in within]


class Farm:
    """A server and workers, for as long as the block lasts."""

    def __init__(self, folder: Path, environment: dict[str, str], workers: int, nice: int) -> None:
        """nice: of the last worker, where there are several."""
        port = str(free_port())
        self.environment = environment
        environment |= {
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        }
        self.log = (folder / "farm.log").open("wb")
        self.server = self._start("-m", "prefect", "server", "start", "--port", port)
        names = [f"worker{number}" for number in range(workers)]
        self.workers = [
            self._start("-m", "flows.cli", "worker", str(folder / name), "--name", name)
            for name in names
        ]
        if workers > 1:
            psutil.Process(self.workers[-1].pid).nice(nice)

    def _start(self, *words: str) -> Any:
        return subprocess.Popen(
            [sys.executable, *words], env=self.environment, stdout=self.log, stderr=self.log
        )

    def __enter__(self) -> "Farm":
        return self

    def __exit__(self, *_: Any) -> None:
        for process in [*self.workers, self.server]:
            for one in [*psutil.Process(process.pid).children(recursive=True), process]:
                one.kill()


def prepare(bench: Bench, folder: Path, products: int) -> None:
    """A workspace with products, remotes, and its deployment."""
    bench.root.mkdir()
    bench.line("init", ".")
    bench.params["line"] = {"device": "cpu", "workers": {"batch": 24}}
    bench.write_params()
    for number in range(products):
        bench.line("ingest", f"product{number:02d}", str(folder.parent / "images" / "weave"))
    bench.call("git", "init", "--quiet", "--bare", str(folder / "line.git"))
    bench.call("git", "remote", "add", "origin", str(folder / "line.git"))
    bench.call("dvc", "remote", "add", "-d", "far", str(folder / "far"))
    until = time.monotonic() + 900
    while True:
        command = [sys.executable, "-m", "flows.cli", "deploy"]
        ended = subprocess.run(
            command, cwd=bench.root, env=bench.environment, capture_output=True, check=False
        )
        if ended.returncode == 0:
            return
        if time.monotonic() > until:
            sys.exit(ended.stderr.decode())
        time.sleep(5)


def measure(temporary: Path, names: list[str], asked: argparse.Namespace) -> None:
    products, workers = asked.products, asked.workers
    folder = temporary / str(len(names))
    folder.mkdir()
    bench = Bench(folder, names)
    bench.environment["OMP_NUM_THREADS"] = "1"
    cells = products * len(names)
    with Farm(folder, bench.environment, workers, asked.nice) as farm:
        prepare(bench, folder, products)
        watched = [Watch(one.pid) for one in farm.workers]
        time.sleep(2)  # what a worker is without a batch
        before = sum(one.cpu for one in watched)
        began = time.monotonic()
        with (folder / "run.log").open("wb") as log:
            command = [sys.executable, "-m", "flows.cli", "run"]
            run = subprocess.Popen(
                command, cwd=bench.root, env=bench.environment, stdout=log, stderr=log
            )
            coordinator = Watch(run.pid)
            if run.wait():
                sys.exit((folder / "run.log").read_text()[-3000:])
        wall = time.monotonic() - began
        there = sum(one.cpu for one in watched) - before
        shares = ", ".join(f"{share:.1%}" for share in idle(watched, began))
    status = bench.call("dvc", "status")
    here = coordinator.cpu
    print(
        f"{cells:4d} cells: coordinator {here:7.1f} CPU s ({here / cells:.2f} a cell), "
        f"peak {coordinator.peak / 1e6:.0f} MB; workers {there:7.1f} CPU s "
        f"({there / cells:.2f} a cell), idle {shares}; {wall:.0f} s in all; "
        f"dvc status {status:.1f} CPU s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=15)
    parser.add_argument("--algorithms", type=int, nargs="+", default=[3, 24])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--nice", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        draw(Path(temporary) / "images")
        for count in asked.algorithms:
            names = [f"noop{number:02d}" for number in range(count)]
            measure(Path(temporary), names, asked)


if __name__ == "__main__":
    main()
