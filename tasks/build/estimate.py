"""What a fit will take on this machine, told before it starts.

The unit is a pass: one image, forward, through the algorithm's frozen backbone. How many passes a
fit takes follows from its parameters and the number of images; how long one takes is measured, once
for each device, number of threads, backbone and size, and kept for an hour in the workspace's
scratch. The choice of `algorithms: auto` keeps the pace it was made with, so that every clone makes
the same.
"""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.images.tiles import count_tiles
from tasks.spec.algorithms import config_values, per_product
from tasks.spec.cell_input import cell_input
from tasks.spec.parameters import algorithm_parameters
from tasks.spec.read import read_params, read_product
from tasks.workspace.files import write_json
from tasks.workspace.paths import Workspace

YARDSTICK = "resnet18"  # for algorithms without a backbone
ENVIRONMENT = "INSPECTLINE_DEVICE"  # set by a GPU scheduler; overrides line.device
READ = 2.0  # passes of each image: decoded, seen once, scored without itself for the threshold
USUAL = 4.0  # passes of an image in a training step, where none were measured
FRESH = 3600.0  # seconds: what was measured longer ago may have been on a busy machine
VARIANTS = 22.0  # of each support image of RegAD
PIXELS = 65536.0  # of an image for which the figures below were measured
RATIO = 0.01  # of patches kept, likewise


@dataclass(frozen=True)
class Part:
    """A part of a training, as tests/benchmarks/bench_estimate.py measures the quick presets."""

    counted: str  # the parameter that says how many epochs, or steps, there are
    passes: float  # that an image in a step takes, forward and backward
    batch: int = 0  # images in a step; 0: `batch` of the parameters, or batch_size of the spec
    epoch: bool = True  # whether epochs are counted, and not steps

    def images(self, parameters: dict[str, Any], images: int, batch: int) -> int:
        """Images that all steps see, one that is seen again counted again."""
        batch = self.batch or parameters.get("batch", batch)
        each = (parameters.get("batches") or -(-images // batch)) if self.epoch else 1
        return int(parameters.get(self.counted, 0) * each * min(batch, images))


TRAINING = {
    "cpr": (Part("steps", 5.2, epoch=False),),
    "efficientad": (Part("teacher_steps", 8.4, epoch=False), Part("steps", 6.5, 1, epoch=False)),
    "fastflow": (Part("epochs", 7.5),),
    "favae": (Part("epochs", 0.8),),
    "fcdd": (Part("epochs", 1.9),),
    "kdad": (Part("epochs", 3.4),),
    "msflow": (Part("epochs", 3.3),),
    "pni": (Part("epochs", 4.5, 1),),  # of so many patches
    "reconpatch": (Part("epochs", 0.5, 1),),
    "regad": (Part("epochs", 5.2),),
    "reverse_distillation": (Part("epochs", 5.8),),
    "riad": (Part("epochs", 10.0),),
    "simplenet": (Part("epochs", 2.1),),
}
ONE_PASS = ("anomalydino", "padim", "patchcore", "semi_orthogonal", "subspacead")
# Passes that a coreset takes for each pair of images
PAIRS = {"patchcore": 0.02, "pni": 0.02, "reconpatch": 0.02}


def estimates(
    workspace: Workspace, product: str, names: Sequence[str], images: int, known: dict[str, Any]
) -> dict[str, Any]:
    """`seconds` that the fit of each algorithm takes with so many good images; the `pace`, seconds
    of an image by backbone, and by size where a cell has its own; the product's `size`; `on`: where
    it was measured, as "cpu, 2 threads".

    known: what this gave before. Its pace holds as long as the size does; what it lacks is measured
    here.
    """
    size = read_product(workspace.root, product).image.seen
    asked = {
        name: config_values(name) | algorithm_parameters(workspace.root, product, name)
        for name in names
    }
    inputs = {name: cell_input(workspace.root, product, name) for name in names}
    keys = {name: pace_of(asked[name], inputs[name].image.seen, size) for name in names}
    before = known if known.get("size") == list(size) else {}
    pace, on = dict(before.get("pace", {})), before.get("on", "")
    for one in sorted({found.image.seen for found in inputs.values()}):
        wanted = {k: backbone(asked[n]) for n, k in keys.items() if inputs[n].image.seen == one}
        if missing := {key: net for key, net in wanted.items() if key not in pace}:
            here, found = measured(workspace, sorted(set(missing.values())), one)
            pace, on = pace | {key: found[net] for key, net in sorted(missing.items())}, on or here
    seconds = {}
    for name, parameters in asked.items():
        image, training = inputs[name]
        seen = images * count_tiles(image.size, image.tile)
        batch, products = training.batch_size, len(workspace.products)
        count = passes(name, parameters, seen, image.seen, batch, products)
        seconds[name] = round(count * pace[keys[name]], 1)
    return {"size": list(size), "on": on, "pace": pace, "seconds": seconds}


def passes(
    algorithm: str,
    parameters: dict[str, Any],
    images: int,
    size: tuple[int, int],
    batch: int,
    products: int = 1,
) -> float:
    """Passes that a fit on so many images, or tiles of them, of a size (height, width) takes.

    parameters: all of the algorithm. batch: of the spec. products: that share what is learned.
    """
    turns = parameters.get("turns", 1) if images < parameters.get("turned_below", 0) else 1
    each = images * size[0] * size[1] / PIXELS
    found = READ * images * turns
    found += PAIRS.get(algorithm, 0) * images * each * parameters.get("ratio", RATIO) / RATIO
    if algorithm in ONE_PASS:
        return found
    parts = TRAINING.get(algorithm, (Part("epochs", USUAL),))
    learned = sum(part.passes * part.images(parameters, images, batch) for part in parts)
    if per_product(algorithm):
        shots = min(images, parameters.get("shots", images))
        return found + VARIANTS * shots + learned / max(1, products)
    return found + learned


def backbone(parameters: dict[str, Any]) -> str:
    """The backbone of an algorithm with these parameters; one to compare with, if it has none."""
    return str(parameters.get("backbone") or YARDSTICK)


def pace_of(parameters: dict[str, Any], seen: tuple[int, int], size: tuple[int, int]) -> str:
    """The key of a pace: the backbone, with what it sees where that is not the product's `size`."""
    name = backbone(parameters)
    return name if seen == size else f"{name}, {seen[0]} x {seen[1]}"


def measured(
    workspace: Workspace, backbones: Sequence[str], size: tuple[int, int]
) -> tuple[str, dict[str, float]]:
    """Where they were measured, and the seconds of an image of `size` in each backbone."""
    from ad_models.probe import about, device_of, pass_seconds

    device = device_of(os.environ.get(ENVIRONMENT) or read_params(workspace.root).line.device)
    path, here = workspace.scratch / "speed.json", about(device)
    known = json.loads(path.read_text()) if path.is_file() else {}
    keys = {name: f"{here}: {name}, {size[0]} x {size[1]}" for name in backbones}
    for name, key in keys.items():
        if time.time() - known.get(key, {}).get("time", 0) > FRESH:
            seconds = float(f"{pass_seconds(name, size, device):.3g}")
            known[key] = {"seconds": seconds, "time": round(time.time())}
            write_json(path, known)
    return here, {name: known[key]["seconds"] for name, key in keys.items()}
