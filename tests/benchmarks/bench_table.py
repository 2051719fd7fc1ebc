"""The table of all algorithms on real products: figures, steps and what a fit takes.

INSPECTLINE_WEIGHTS=FOLDER python tests/benchmarks/bench_table.py FOLDER... [--preset quick]
        [--algorithms padim patchcore] [--size 256] --keep DIR

FOLDER: products in MVTec AD layout. Each cell is fitted and evaluated by the commands of its stages
in a workspace at --keep, with the defaults of params.yaml but for preset and --size; without that,
at the size that `new` proposes. What has been measured stays there, so the same command goes on
after a stop, and prints the whole table as Markdown at the end. CPU seconds are those of the fit's
process less what the same process takes to import; `ms` is the median of the evaluation.
RegAD learns from products that it is not tried on, see bench_regad.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tasks.products.image_summary import summarise_images
from tasks.spec.algorithms import known_algorithms, per_product
from tasks.spec.read import default_params
from tasks.workspace.paths import CARD, Workspace

TABLE = "table.json"
COLUMNS = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "aupro_30": "AUPRO",
    "miss": "miss",
    "overkill": "overkill",
    "steps": "steps",
    "fit_cpu": "fit, CPU s",
    "ms_per_image": "ms",
}


def cpu_of(*words: str, root: Path) -> float:
    """CPU seconds of a command of Python; exits with its last words where it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [sys.executable, *words], cwd=root, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"{' '.join(words)}\n{ended.stdout[-1000:]}{ended.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def line(*words: str, root: Path) -> None:
    cpu_of("-m", "flows.cli", *words, root=root)


def begin(root: Path, folder: Path, names: list[str], asked: argparse.Namespace) -> str:
    """The product of a folder, validated; its name."""
    workspace = Workspace(root)
    product = folder.name.lower()
    if product not in workspace.products:
        line("ingest", product, str(folder), root=root)
    size = asked.size or list(summarise_images(workspace.images(product)).size)
    spec = {
        "algorithms": {name: {"preset": asked.preset} for name in names},
        "image": {"size": size},
        "evaluation": {"resamples": 0, "pictures": 0},
    }
    (workspace.product(product) / "product.yaml").write_text(yaml.safe_dump(spec))
    line("sync", root=root)
    cpu_of("-m", "tasks.validate", product, root=root)
    return product


def cell(root: Path, product: str, name: str, imports: float) -> dict[str, Any]:
    """The row of one algorithm on one product."""
    workspace = Workspace(root)
    took = cpu_of("-m", "tasks.fit", product, name, root=root)
    cpu_of("-m", "tasks.evaluate", product, name, root=root)
    metrics = json.loads((workspace.evaluation(product, name) / "metrics.json").read_text())
    card = json.loads((workspace.model(product, name) / CARD).read_text())
    return {
        **{key: metrics.get(key) for key in COLUMNS},
        "backbone": metrics.get("backbone"),
        "size": card["image"]["size"],
        "fit_cpu": round(took - imports, 1),
    }


def show(found: dict[str, dict[str, Any]]) -> None:
    for product, rows in found.items():
        print(f"\n{product}\n\n| algorithm | size | {' | '.join(COLUMNS.values())} |")
        print("|---" * (len(COLUMNS) + 2) + "|")
        for name, row in sorted(rows.items(), key=lambda one: -(one[1]["image_auroc"] or 0)):
            cells = [
                "" if row[key] is None else f"{row[key]:.3f}".rstrip("0").rstrip(".")
                for key in COLUMNS
            ]
            size = " x ".join(map(str, row["size"]))
            print(f"| {name} | {size} | {' | '.join(cells)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="+", type=Path)
    presets = default_params().presets
    alone = [name for name in sorted(known_algorithms()) if not per_product(name)]
    parser.add_argument("--algorithms", nargs="+", choices=alone, help="all with the preset")
    parser.add_argument("--preset", default="quick", choices=presets)
    parser.add_argument("--size", type=int)
    parser.add_argument("--keep", type=Path, required=True)
    asked = parser.parse_args()
    with_preset = [name for name in alone if name in presets[asked.preset]]
    asked.algorithms = asked.algorithms or with_preset
    root = asked.keep.absolute()
    if not (root / "params.yaml").exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        line("init", str(root), root=root.parent)
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    imports = cpu_of("-c", "import tasks.fit, torchvision.models", root=root)
    table = root / TABLE
    found = json.loads(table.read_text()) if table.exists() else {}
    for folder in asked.folders:
        product = begin(root, folder.absolute(), asked.algorithms, asked)
        for name in asked.algorithms:
            rows = found.setdefault(product, {})
            if name in rows:
                continue
            rows[name] = cell(root, product, name, imports)
            table.write_text(json.dumps(found, indent=1))
            print(product, name, rows[name], flush=True)
    show(found)


if __name__ == "__main__":
    main()
