"""Put a release together: the model as it ships, exported, with its figures and their origin."""

import shutil
from pathlib import Path

from tasks.decisions.calibration import images_identity
from tasks.documents.manifest import About
from tasks.documents.metrics import METRICS, GateMetrics
from tasks.documents.threshold import THRESHOLD
from tasks.models.export import export_onnx
from tasks.models.licences import require_licence
from tasks.models.pixels import image_of, write_inspector
from tasks.monitoring.findings import LOOKS, MEASURES
from tasks.promotion.challenge import reported
from tasks.promotion.provenance import provenance
from tasks.promotion.trial import normals
from tasks.spec.read import read_product
from tasks.workspace.files import read_rows, write_json, write_rows
from tasks.workspace.git import origin
from tasks.workspace.paths import EDGE_MAPS, Workspace

FROM_EVALUATION = (METRICS, THRESHOLD, "details.json", "scores.csv")


def assemble(
    workspace: Workspace, product: str, algorithm: str, metrics: GateMetrics | None, folder: Path
) -> About:
    """Put together all that a release holds; what its manifest tells about it.

    Model, preprocessing, threshold, figures with intervals, and where all of it is from.
    """
    spec = read_product(workspace.root, product)
    kept = shutil.ignore_patterns(EDGE_MAPS)
    shutil.copytree(workspace.model(product, algorithm), folder, ignore=kept)
    require_licence(folder)
    for name in FROM_EVALUATION:
        shutil.copy(workspace.evaluation(product, algorithm) / name, folder / name)
    train = read_rows(workspace.validation(product) / "train.csv")
    write_rows(folder / LOOKS, MEASURES, [{name: row[name] for name in MEASURES} for row in train])
    write_json(folder / "provenance.json", provenance(workspace, product, algorithm))
    if spec.release.onnx:
        image = image_of(folder)
        seen = normals(workspace.images(product), train, image) if spec.release.int8 else []
        export_onnx(folder, image.seen, seen)
        if spec.release.pixels:
            write_inspector(folder, deep(workspace, product))
    test_set = images_identity(reported(workspace, product, spec))
    made = origin(workspace)
    return About(algorithm=algorithm, metrics=metrics, test_set=test_set, origin=made)


def deep(workspace: Workspace, product: str) -> bool:
    """Whether any image of a product has 16 bits."""
    rows = read_rows(workspace.validation(product) / "manifest.csv")
    return any(row["bits"] == "16" for row in rows)
