"""The demo: three sample products, drawn, ingested and run in a workspace of their own; then a bad
week, with parts under the wrong label and a lamp that grows old."""

import os
import shutil
from pathlib import Path

import click
import numpy as np
import yaml

from flows.ingest import ingest_product
from flows.prefect_server.start import begin_server
from flows.run import run_line
from flows.running.process import prepare, worth_importing
from flows.tables import drift_table
from tasks.arrival.samples.draw import Series, draw_pair, draw_samples, save
from tasks.build.records import Stage
from tasks.init import init
from tasks.workspace.files import write_text
from tasks.workspace.paths import Workspace, find

# Two minutes on two cores, and the same everywhere: the backbone is the one in the box.
ALGORITHMS = ["padim", "patchcore"]
THIRD = "semi_orthogonal"  # of the product with wrong labels: two algorithms doubt none
SMALL = {
    "defaults": {
        "algorithms": ALGORITHMS,
        "image": {"size": 256},
        "gates": {"image_auroc": 0.95},
    },
    "algorithms": {
        name: {"preset": "quick", "backbone": "drawnet"} for name in (*ALGORITHMS, THIRD)
    },
}
SLOTS = 2  # cells at once: half of a small cell is starting and reading, which leaves a core idle
SIZE = 256  # pixels
IMAGES = 80, 20, 10  # of a product: to train on, good and of each defect to test on
MISLABELLED = "plate", "burr", 3  # parts of one defect that come as good ones
OLD_LAMP = "cap", 100, (0.97, 0.96, 0.94)  # parts under it, and what is left of red, green, blue


def run_demo(directory: Path) -> bool:
    """Whether the line ran through; running it again does only what is missing."""
    click.echo(f"workspace {directory}")
    init(directory)
    workspace = find(directory)
    params = workspace.root / "params.yaml"
    content = yaml.safe_load(params.read_text())
    content["defaults"] |= SMALL["defaults"]
    content["algorithms"] |= SMALL["algorithms"]
    content["line"]["slots"] = SLOTS
    write_text(params, yaml.safe_dump(content, sort_keys=False))
    os.environ.setdefault("PREFECT_HOME", str(workspace.scratch / "prefect"))
    source = workspace.scratch / "samples"
    shutil.rmtree(source, ignore_errors=True)  # the same bytes are drawn again
    fits = [Stage("fit", "", name) for name in (*ALGORITHMS, THIRD)]
    prepare(worth_importing([*fits, Stage("validate", "plate"), Stage("validate", "cap")]))
    begin_server()  # beside what is drawn, as the imports are
    for folder in draw_samples(source, SIZE, *IMAGES):
        report = ingest_product(workspace, folder.name, str(folder))
        click.echo(f"{folder.name}: {report.summary()}")
    spec = workspace.product(MISLABELLED[0]) / "product.yaml"
    if not spec.is_file() or not yaml.safe_load(spec.read_text()):  # who edits it keeps that
        write_text(spec, yaml.safe_dump({"algorithms": [*ALGORITHMS, THIRD]}))
    return run_line(workspace, [], None) and bad_week(workspace, source)


def bad_week(workspace: Workspace, source: Path) -> bool:
    """What goes wrong in a factory, and what the line says to it; whether the run went through."""
    product, defect, count = MISLABELLED
    click.echo(
        f"\n{count} parts of {product} with {defect} arrive among the good ones of the test set"
    )
    for number in range(count):
        _, image, _ = draw_pair(Series(product, SIZE, 1), defect, number, strength=1.0)
        save(image, source / "wrong" / "test" / "good" / f"late_{number}.png")
    ingest_product(workspace, product, str(source / "wrong"))
    if not run_line(workspace, [product], None):
        return False
    worn, parts, colour = OLD_LAMP
    click.echo(f"\nthe lamp over {worn} grows old; its champion inspects {parts} parts under it")
    for number in range(parts):
        image, _, _ = draw_pair(Series(worn, SIZE, 1), "production", number)
        aged = np.rint(image * np.array(colour)).astype(np.uint8)
        save(aged, source / "production" / f"{number:03}.png")
    log = workspace.root / "log"
    drift_table(inspected(workspace, worn, source / "production", log))
    click.echo(look_at(workspace, log))
    return True


def inspected(workspace: Workspace, product: str, images: Path, log: Path) -> list[object]:
    """Inspect images with the champion, and compare the log with what it was made from."""
    from tasks.drift import find_drift
    from tasks.monitoring.log import PredictionLog
    from tasks.predict import image_paths, predict_images
    from tasks.store.opening import locate

    folder = locate(workspace.root, product)
    for _ in predict_images(
        folder, image_paths([images]), None, "auto", PredictionLog(log, product)
    ):
        pass
    return list(find_drift(workspace.root, product, log))


def look_at(workspace: Workspace, log: Path) -> str:
    """What to look at, and what to try next."""
    product, worn = MISLABELLED[0], OLD_LAMP[0]
    here = f"inspectline --workspace {os.path.relpath(workspace.root)}"
    return f"""
look at
  the report above: each product with its heat maps, what passes and what is rejected
  {product}: the gate refused the new figures, the champion stays; its data page doubts the labels
  {worn}: brightness has drifted, as `drift` says: look at the lamp, not at the parts
try
  {here} board                      the same pages, live; set a threshold, correct a label
  {here} drift {worn} --log {os.path.relpath(log)}
  {here} correct {product} test/good/late_0.png {MISLABELLED[1]} --reason "seen by Kim"
  inspectline init line && cd line && inspectline new NAME --from FOLDER   your own product"""
