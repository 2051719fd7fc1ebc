"""Teach an algorithm that products share, once, on the good images of several of them."""

import time
from dataclasses import asdict
from pathlib import Path

from ad_models import create
from tasks.models.device import peak_memory_mb
from tasks.models.fitting import prepare_run
from tasks.models.licences import keep_licence
from tasks.models.sharing import common_size, fit_identity, mixed_loader
from tasks.spec.read import check, read_yaml
from tasks.spec.schema import Image
from tasks.workspace.files import folder_beside, write_json
from tasks.workspace.listener import Listener, main
from tasks.workspace.paths import CARD, MODEL, SHARED, Workspace


def pretrain(workspace: Workspace, algorithm: str, listener: Listener) -> Path:
    """Write `.shared/<algorithm>`: the detector, not yet calibrated for any product, and its card.

    Of each product the images that will set its threshold are left out.
    """
    path = workspace.recipe(algorithm)
    recipe = read_yaml(path)
    images = {name: check(Image, one["image"], path) for name, one in recipe["products"].items()}
    size = common_size(algorithm, images)
    tables = {name: workspace.validation(name) / "train.csv" for name in images}
    identity = fit_identity(algorithm, recipe, tables)
    run, checkpoint = prepare_run(workspace, SHARED, algorithm, identity, listener)
    loader = mixed_loader(workspace, recipe, images)
    started = time.perf_counter()
    detector = create(algorithm, **recipe["parameters"]).fit(loader, run)
    card = {
        "algorithm": algorithm,
        "steps": run.trained(),
        "parameters": asdict(detector.config),
        "backbone_weights": detector.weights,
        "image_size": size,
        "batch_size": recipe["batch_size"],
        "fit_images": {part.category: len(part.paths) for part in loader.loaders},
        "calibration": {name: one["calibration"] for name, one in recipe["products"].items()},
        "identity": identity,
        "device": str(run.device),
        "fit_seconds": round(time.perf_counter() - started, 3),
        "peak_memory_mb": round(peak_memory_mb(run.device), 1),
    }
    folder = workspace.shared(algorithm)
    with folder_beside(folder) as partial:
        detector.save(partial / MODEL)
        keep_licence(partial, detector.weights, asdict(detector.config))
        write_json(partial / CARD, card)
    checkpoint.unlink(missing_ok=True)
    return folder


if __name__ == "__main__":
    main(pretrain)
