"""What a handful of good images gives: each algorithm of `auto`, of each product, from 2 to 16.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_few.py FOLDER... [--good 2 4 8 16]
                                                                       [--only NAME...]

FOLDER: products in MVTec AD layout, of one size. Of each in turn (or of those named by --only) so
many good training images, drawn at random, are a new product; RegAD has learned from the other
products alone, whole (with one FOLDER there is no RegAD). The steps of the line are called one
after the other in this process, so that the figures are those of `inspectline run` and the time is
that of the work alone: seconds of the processor for validation, fits, thresholds and evaluation.
A star marks what the gate would put forward. bench_new.py times the commands that a user gives.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import yaml
from bench_new import few

from tasks.build.graph import sync
from tasks.evaluate import evaluate
from tasks.fit import fit
from tasks.ingest import ingest
from tasks.pretrain import pretrain
from tasks.products.image_summary import summarise_images
from tasks.products.proposal import proposed_spec
from tasks.promotion.decision import evaluated, objections, rank
from tasks.spec.read import read_product
from tasks.spec.recipe import shared_recipe
from tasks.validate import validate
from tasks.workspace.paths import PACKAGE, Workspace


class Silent:
    """Nobody listens."""

    def report(self, *_: object, **__: object) -> None: ...

    def say(self, text: str) -> None: ...

    def should_stop(self) -> bool:
        return False


def begin(workspace: Workspace, product: str, source: Path) -> None:
    """Images, the spec that `new` proposes without a gate, and validation."""
    ingest(source, workspace.images(product), workspace.scratch / "ingest")
    text = proposed_spec(product, summarise_images(workspace.images(product)))
    spec = workspace.product(product) / "product.yaml"
    spec.write_text(text.replace("image_auroc: 0.8", "image_auroc: null"))
    sync(workspace)
    validate(workspace, product, Silent())


def teach(workspace: Workspace, products: list[str]) -> None:
    """RegAD, from these products alone."""
    params = yaml.safe_load((PACKAGE / "params.yaml").read_text())
    params["algorithms"]["regad"] |= {"train_on": products}
    (workspace.root / "params.yaml").write_text(yaml.safe_dump(params))
    path = workspace.recipe("regad")
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(shared_recipe(workspace.root, "regad", workspace.products)))
    pretrain(workspace, "regad", Silent())


def start(workspace: Workspace, product: str, source: Path) -> None:
    """Print a row for each algorithm that `auto` chooses."""
    began = time.process_time()
    begin(workspace, product, source)
    spec = read_product(workspace.root, product)
    for algorithm in spec.algorithms:
        fit(workspace, product, algorithm, Silent())
        evaluate(workspace, product, algorithm, Silent())
    spent = time.process_time() - began
    cells = evaluated(workspace, product, spec.algorithms)
    fit_for = [cell for cell in cells if not objections(cell, spec.gates)]
    best = max(fit_for, key=rank).algorithm if fit_for else ""
    for cell in cells:
        shares = (cell.miss, cell.overkill, cell.overkill_bound)
        miss, overkill, bound = ("  none" if s is None else f"{s:6.1%}" for s in shares)
        star = "*" if cell.algorithm == best else " "
        print(
            f"{product:<16} {spent:4.0f} s  {cell.algorithm:<10}{star}"
            f" AUROC {cell.image_auroc:.3f}  AUPRO {cell.aupro_30 or float('nan'):.3f}"
            f"  miss {miss}  overkill {overkill} of {bound} promised",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--good", nargs="*", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        workspace = Workspace(Path(temporary))
        workspace.scratch.mkdir()
        shutil.copy(PACKAGE / "params.yaml", workspace.root)
        for folder in options.folders if len(options.folders) > 1 else ():
            begin(workspace, folder.name, folder)
        for folder in options.folders:
            if options.only and folder.name not in options.only:
                continue
            if others := [one.name for one in options.folders if one != folder]:
                teach(workspace, others)
            for count in options.good:
                name = f"{folder.name}-{count}"
                start(workspace, name, few(folder, count, workspace.scratch / "few" / name))
                shutil.rmtree(workspace.product(name))


if __name__ == "__main__":
    main()
