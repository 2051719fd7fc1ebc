"""From `new` to a champion with a handful of good images, and fifty products from one table.

python tests/benchmarks/bench_new.py FOLDER... [--good 2 4 8 16] [--beside FOLDER...]
python tests/benchmarks/bench_new.py --table 50

FOLDER: products in MVTec AD layout. Of each so many good training images, drawn at random, are
taken, with the whole test set; the defaults of the package, `algorithms: auto`, and a gate that
asks for nothing but a comparison. Products named by --beside are in the workspace before, whole,
for RegAD to learn from; the product itself is left out of them. Prints what a user would see,
minutes from `new` to the champion, and the overkill that happened beside the one that so few
images can promise: on average, and with confidence.
"""

import argparse
import csv
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def environment() -> dict[str, str]:
    """Of this process, with the commands of its Python first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def line(root: Path, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
    """What a command of the package printed."""
    command = [sys.executable, "-m", "flows.cli", "--workspace", str(root), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    if ended.returncode not in ok:
        sys.exit(f"{' '.join(arguments)}:\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}")
    return ended.stdout


def workspace(folder: Path) -> Path:
    """A fresh workspace."""
    made = [sys.executable, "-m", "flows.cli", "init", str(folder)]
    subprocess.run(made, check=True, capture_output=True)
    return folder


def few(source: Path, count: int, target: Path) -> Path:
    """A copy of the product with `count` training images, drawn at random: every so-manyth by name
    can be one view of each part, and then the others are new to it."""
    for part in ("test", "ground_truth"):
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part)
    good = target / "train" / "good"
    good.mkdir(parents=True)
    paths = sorted((source / "train" / "good").iterdir())
    for path in random.Random(source.name).sample(paths, count):
        shutil.copy(path, good)
    return target


def factory(folder: Path, products: list[Path]) -> Path:
    """A workspace with these products, and what RegAD learned from them."""
    root = workspace(folder)
    for product in products:
        line(root, "new", product.name, "--from", str(product))
    if products:
        dvc = [str(Path(sys.executable).with_name("dvc")), "repro", "-q", "dvc.yaml:pretrain-regad"]
        subprocess.run(dvc, cwd=root, check=True, env=environment(), capture_output=True)
    return root


def start(room: Path, before: Path, source: Path, count: int) -> None:
    """Print one row for each algorithm of a product that began with `count` images, in a copy of
    the workspace `before`."""
    name = source.name
    root = shutil.copytree(before, room / f"{name}-{count}", symlinks=True)
    images = few(source, count, room / "images" / f"{name}-{count}")
    began = time.monotonic()
    line(root, "new", name, "--from", str(images))
    spec = root / "data" / name / "product.yaml"
    spec.write_text(spec.read_text().replace("image_auroc: 0.8", "image_auroc: null"))
    line(root, "run", "-p", name)
    minutes = (time.monotonic() - began) / 60
    releases = json.loads(line(root, "releases", name, "--json"))
    champion = {one["algorithm"] for one in releases if one["champion"]}
    for path in sorted((root / "data" / name / "cells").glob("*/evaluation/metrics.json")):
        row = json.loads(path.read_text())
        star = "*" if row["algorithm"] in champion else " "
        pro = "-" if row["aupro_30"] is None else f"{row['aupro_30']:.3f}"
        decided = "no threshold"
        if row["threshold"] is not None:
            decided = (
                f"miss {row['miss']:6.1%}  overkill {row['overkill']:6.1%}"
                f" of {row['overkill_bound']:.1%} promised, {row['overkill_upper']:.1%} at most"
            )
        print(
            f"{name:<18} {count:>3} {minutes:5.1f} min"
            f"  {row['algorithm']:<14}{star} AUROC {row['image_auroc']:.3f}  AUPRO {pro}"
            f"  {decided}",
            flush=True,
        )


def table(room: Path, count: int) -> None:
    """Print how long a table of `count` products takes, ten rows of it broken."""
    from tasks.arrival.samples.draw import draw_samples

    draw_samples(room / "samples", size=64, train=8, good=4, per_defect=1)
    kinds = sorted(path.name for path in (room / "samples").iterdir())
    root = workspace(room / "many")
    path = room / "products.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "folder", "gates.image_auroc"])
        for number in range(count - 10):
            kind = kinds[number % len(kinds)]
            rows.writerow([f"{kind}{number}", room / "samples" / kind, ""])
        for number in range(10):
            name = "bad name" if number % 2 else f"missing{number}"
            rows.writerow([name, room / "nowhere", "high" if number % 3 else ""])
    began = time.monotonic()
    told = line(root, "new", "--table", str(path), ok=(1,))
    print(f"{count} rows in {time.monotonic() - began:.0f} s")
    print(told[told.index(" products begun") - 3 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--good", nargs="*", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--beside", nargs="*", type=Path, default=[])
    parser.add_argument("--table", type=int, help="rows; instead of FOLDERs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if options.table:
            table(Path(temporary), options.table)
        for folder in options.folders:
            others = [path for path in options.beside if path.name != folder.name]
            before = factory(Path(temporary) / f"{folder.name}-before", others)
            for count in options.good:
                start(Path(temporary), before, folder, count)


if __name__ == "__main__":
    main()
