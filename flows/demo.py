"""The demo: three sample products, drawn, ingested and run in a workspace of their own."""

import os
import shutil
from pathlib import Path

import click
import yaml

from flows.ingest import ingest_product
from flows.run import run_line
from tasks.arrival.samples.draw import draw_samples
from tasks.init import init
from tasks.workspace.files import write_text
from tasks.workspace.paths import find

# Minutes, not tens of minutes, on two cores; without a network the backbone stays untrained.
SMALL = {
    "defaults": {
        "algorithms": ["padim", "patchcore", "reverse_distillation"],
        "image": {"size": 128},
    },
    "algorithms": {
        "padim": {"backbone": "resnet18", "dims": 100, "weights": "auto"},
        "patchcore": {"backbone": "resnet18", "ratio": 0.02, "weights": "auto"},
        "reverse_distillation": {"backbone": "resnet18", "epochs": 8, "weights": "auto"},
    },
}


def run_demo(directory: Path) -> bool:
    """Whether the line ran through; running it again does only what is missing."""
    click.echo(f"workspace {directory}")
    init(directory)
    workspace = find(directory)
    params = workspace.root / "params.yaml"
    content = yaml.safe_load(params.read_text())
    content["defaults"] |= SMALL["defaults"]
    content["algorithms"] |= SMALL["algorithms"]
    write_text(params, yaml.safe_dump(content, sort_keys=False))
    source = workspace.scratch / "samples"
    shutil.rmtree(source, ignore_errors=True)  # the same bytes are drawn again
    for folder in draw_samples(source):
        report = ingest_product(workspace, folder.name, str(folder))
        click.echo(f"{folder.name}: {report.summary()}")
    os.environ.setdefault("PREFECT_HOME", str(workspace.scratch / "prefect"))
    return run_line(workspace, [], None)
