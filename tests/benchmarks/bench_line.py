"""What the line itself costs: PRODUCTS x ALGORITHMS cells whose algorithms do nothing.

python tests/benchmarks/bench_line.py [--products 15] [--algorithms 24] [--runs 3]

Works on a copy of the package with that many no-op algorithms, in a temporary folder, through
the same commands a user gives. Prints CPU seconds (user and system, children included).
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parents[2]
NOOP = '''"""Does nothing, so that only the line's own work is left."""

from dataclasses import dataclass

from ad_models.base import Detector, Prediction


@dataclass(frozen=True)
class {title}Config:
    seed: int = 0
    level: float = 0.0


class {title}(Detector):
    Config = {title}Config

    def learn(self, loader, run):
        for _ in run.steps(loader):
            pass

    def forward(self, images):
        maps = images.mean(1, keepdim=True) + self.config.level
        return Prediction(maps.amax((1, 2, 3)), maps)
'''


def cpu() -> float:
    """CPU seconds of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def package(folder: Path, names: list[str]) -> None:
    """A copy of the code whose only algorithms are no-ops of these names."""
    for room in ("ad_models", "tasks", "flows"):
        shutil.copytree(HERE / room, folder / room)
    for path in ("params.yaml", "tasks/spec/params.yaml"):
        (folder / path).write_text("{}\n")  # the real one names the real algorithms
    for path in (folder / "ad_models" / "algorithms").glob("[a-z]*.py"):
        path.unlink()
    for name in names:
        path = folder / "ad_models" / "algorithms" / f"{name}.py"
        path.write_text(NOOP.format(title=name.title()))
    front = folder / "ad_models" / "__init__.py"
    head, _, rest = front.read_text().partition("ALGORITHMS = {")
    table = ", ".join(f"{name!r}: {name.title()!r}" for name in names)
    front.write_text(head + f"ALGORITHMS = {{{table}}}" + rest[rest.index("}") + 1 :])


class Bench:
    """The commands, run in the workspace with the copied package."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.root = folder / "workspace"
        package(folder / "package", names)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        home = str(folder / "prefect")
        self.environment = os.environ | {
            "PYTHONPATH": str(folder / "package"),
            "PATH": path,
            "PREFECT_HOME": home,
        }
        self.params = {
            "defaults": {
                "algorithms": names,
                "image": {"size": 32},
                "gates": {"image_auroc": None},
            },
            "algorithms": {name: {"level": 0.0} for name in names},
        }

    def call(self, *command: str) -> float:
        """CPU seconds of a command; its output is shown where it fails."""
        before = cpu()
        ended = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if ended.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}")
        return cpu() - before

    def line(self, *arguments: str) -> float:
        return self.call(sys.executable, "-m", "flows.cli", *arguments)

    def write_params(self) -> None:
        (self.root / "params.yaml").write_text(yaml.safe_dump(self.params, sort_keys=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=15)
    parser.add_argument("--algorithms", type=int, default=24)
    parser.add_argument("--runs", type=int, default=3, help="of the commands with nothing to do")
    asked = parser.parse_args()
    names = [f"noop{number:02d}" for number in range(asked.algorithms)]
    cells = asked.products * asked.algorithms
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(Path(temporary), names)
        bench.root.mkdir()
        bench.line("init", ".")
        bench.write_params()
        draw(Path(temporary) / "images")
        for number in range(asked.products):
            bench.line("ingest", f"product{number:02d}", str(Path(temporary) / "images" / "weave"))
        print(f"{cells} cells ({asked.products} products x {asked.algorithms} algorithms)")
        cold = bench.line("run")
        print(f"run, everything stale    {cold:8.1f} CPU s, {cold / cells:.2f} a cell")
        for name, command in {
            "dvc status": ("dvc", "status"),
            "dvc repro, nothing to do": ("dvc", "repro"),
            "run, nothing to do": (sys.executable, "-m", "flows.cli", "run"),
        }.items():
            times = [bench.call(*command) for _ in range(asked.runs)]
            print(f"{name:<24} {statistics.median(times):8.1f} CPU s (median of {asked.runs})")
        bench.params["algorithms"][names[0]]["level"] = 1.0
        bench.write_params()
        one = bench.line("run")
        print(f"run, one algorithm stale {one:8.1f} CPU s, {one / asked.products:.2f} a cell")


def draw(folder: Path) -> None:
    from tasks.arrival.samples.draw import draw_samples

    draw_samples(folder, size=64, train=4, good=2, per_defect=1, products=("weave",))


if __name__ == "__main__":
    main()
