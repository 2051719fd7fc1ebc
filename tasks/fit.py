"""Fit one algorithm on one product. A fit that was stopped goes on from its checkpoint."""

import time
from dataclasses import asdict
from pathlib import Path

from ad_models.budget import GB
from ad_models.feature_folder import FeatureFolder
from ad_models.feature_store import TemporaryFeatures
from tasks.decisions.score_rule import COLUMNS
from tasks.models.device import peak_memory_mb, training_precision
from tasks.models.fitting import FitJob, SharedModel, fingerprint_of, prepare_run
from tasks.models.left_out import left_out_scores
from tasks.models.licences import keep_licence
from tasks.models.presets import made_with
from tasks.spec.algorithms import per_product
from tasks.spec.parameters import preset_named
from tasks.spec.read import read_params
from tasks.spec.recipe import read_fit
from tasks.workspace.errors import DataError
from tasks.workspace.files import folder_beside, read_rows, sha256_of, write_json, write_rows
from tasks.workspace.listener import Listener, main
from tasks.workspace.paths import CALIBRATION, CARD, EDGE_MAPS, MODEL, Workspace


def fit(workspace: Workspace, product: str, algorithm: str, listener: Listener) -> Path:
    """Write `cells/<algorithm>/model`: the detector, scores of good images that no fit of theirs
    saw, and the card that says how it was made."""
    recipe = read_fit(workspace.product_recipe(product), algorithm)
    table = workspace.validation(product) / "train.csv"
    rows = read_rows(table)
    if not rows:
        raise DataError(f"{table} lists no good training image; ingest some first")
    shared = SharedModel.read(workspace.shared(algorithm)) if per_product(algorithm) else None
    identity = fingerprint_of(algorithm, recipe, table, shared)
    run, checkpoint = prepare_run(workspace, product, algorithm, identity, listener)
    run.precision = training_precision(recipe.training.precision, run.device)
    params = read_params(workspace.root)  # before the fit, during which a person may edit specs
    named = preset_named(workspace.root, product, algorithm)
    line = params.line
    features = (
        FeatureFolder(workspace.features, int(line.features_gb * GB))
        if line.features_gb
        else TemporaryFeatures(checkpoint.parent)
    )
    job = FitJob(product, algorithm, recipe, workspace.images(product), listener, shared, features)
    started = time.perf_counter()
    detector, normals, held = job.fit(rows, run)
    fitted = time.perf_counter()
    steps = shared.card.get("steps", {}) if shared else run.trained()
    training = recipe.training
    if shared and "batch_size" in shared.card:  # what is learned for all has no product's batches
        training = training.model_copy(update={"batch_size": shared.card["batch_size"]})
    if held:
        scores, how = job.score(detector, held), "held out"
    else:
        scores, how = left_out_scores(job, detector, rows, run)
    card = {
        "product": product,
        "algorithm": algorithm,
        "preset": made_with(
            params.presets, algorithm, detector.config, recipe.image, training, named
        ),
        "training": training.model_dump(mode="json"),
        "steps": steps,
        "parameters": asdict(detector.config),
        "image": recipe.image.model_dump(mode="json"),
        "backbone_weights": detector.weights,
        "fit_images": normals,
        "fit_record": detector.record,
        "calibration": how,
        "train_csv": sha256_of(table),
        "identity": identity,
        **({"shared": shared.card["identity"]} if shared else {}),
        "device": str(run.device),
        "precision": str(run.precision).removeprefix("torch."),
        "fit_seconds": round(fitted - started, 3),
        "calibration_seconds": round(time.perf_counter() - fitted, 3),
        "peak_memory_mb": round(peak_memory_mb(run.device), 1),
    }
    folder = workspace.model(product, algorithm)
    with folder_beside(folder) as partial:
        detector.save(partial / MODEL)
        keep_licence(
            partial, detector.weights, card["parameters"], shared.folder if shared else None
        )
        write_json(partial / CARD, card)
        write_rows(partial / CALIBRATION, ("path", *COLUMNS.values(), "peak"), scores)
        job.edge.write(partial / EDGE_MAPS)
    checkpoint.unlink(missing_ok=True)
    return folder


if __name__ == "__main__":
    main(fit)
