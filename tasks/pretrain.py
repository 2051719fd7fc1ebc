"""Teach an algorithm that products share, once, on the good images of several of them."""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ad_models import Run, create
from tasks.code import fingerprint
from tasks.command import Listener, main
from tasks.device import choose, peak_memory_mb
from tasks.errors import SpecError
from tasks.files import beside, read_rows, write_json
from tasks.imaging.loader import CACHE, ImageLoader, Mixed
from tasks.imaging.preprocess import Preprocess
from tasks.resume import forget_others, teller
from tasks.spec import Image, check, read_params, read_yaml
from tasks.split import split
from tasks.workspace import CARD, MODEL, SHARED, Workspace


def pretrain(workspace: Workspace, algorithm: str, listener: Listener) -> Path:
    """Write `.shared/<algorithm>`: the detector, not yet calibrated for any product, and its card.

    Of each product the images that will set its threshold are left out.
    """
    path = workspace.recipe(algorithm)
    recipe = read_yaml(path)
    images = {name: check(Image, one["image"], path) for name, one in recipe["products"].items()}
    size = common_size(algorithm, images)
    tables = {name: workspace.validation(name) / "train.csv" for name in images}
    identity = identify(algorithm, recipe, tables)
    checkpoint = workspace.checkpoint(SHARED, algorithm).with_suffix(f".{identity[:12]}.ckpt")
    forget_others(checkpoint)
    device = choose(read_params(workspace.root).line.device)
    run = Run(device, checkpoint, identity, teller(listener), listener.should_stop, listener.note)
    loader = mixed(workspace, recipe, images)
    started = time.perf_counter()
    detector = create(algorithm, **recipe["parameters"]).fit(loader, run)
    card = {
        "algorithm": algorithm,
        "parameters": asdict(detector.config),
        "backbone_weights": detector.weights,
        "image_size": size,
        "fit_images": {part.category: len(part.paths) for part in loader.loaders},
        "calibration": {name: one["calibration"] for name, one in recipe["products"].items()},
        "identity": identity,
        "device": str(device),
        "fit_seconds": round(time.perf_counter() - started, 3),
        "peak_memory_mb": round(peak_memory_mb(device), 1),
    }
    folder = workspace.shared(algorithm)
    with beside(folder) as partial:
        detector.save(partial / MODEL)
        write_json(partial / CARD, card)
    checkpoint.unlink(missing_ok=True)  # or the next fit would resume this finished one
    return folder


def mixed(workspace: Workspace, recipe: dict[str, Any], images: dict[str, Image]) -> Mixed:
    """The good images of the recipe's products, without those that will set a threshold."""
    loaders = []
    for name, image in images.items():
        rows = read_rows(workspace.validation(name) / "train.csv")
        sides = split([row["sha256"] for row in rows], recipe["products"][name]["calibration"])
        kept = [row for row, held in zip(rows, sides, strict=True) if not held]
        paths = [workspace.images(name) / row["path"] for row in kept]
        room = CACHE // len(images)
        loaders.append(
            ImageLoader(paths, Preprocess(image), recipe["batch_size"], True, name, room)
        )
    return Mixed(loaders)


def common_size(algorithm: str, images: dict[str, Image]) -> list[int]:
    """Height and width of what the algorithm sees, which must be one for all products."""
    sizes = {name: list(image.seen) for name, image in images.items()}
    first, *others = sizes.items()
    for name, size in others:
        if size != first[1]:
            raise SpecError(
                f"{algorithm} learns from all products at one size, but {first[0]} has {first[1]} "
                f"and {name} {size}; give them one image.size, or name the products to learn "
                f"from in algorithms.{algorithm}.train_on of params.yaml"
            )
    return first[1]


def identify(algorithm: str, recipe: dict[str, Any], tables: dict[str, Path]) -> str:
    """What a checkpoint belongs to: data, recipe and code."""
    parts = {
        "recipe": recipe,
        "train": {p: hashlib.sha256(t.read_bytes()).hexdigest() for p, t in tables.items()},
        "code": [fingerprint("pretrain"), fingerprint(algorithm)],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    main(pretrain)
