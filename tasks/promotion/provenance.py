"""The origin of a model and a decision: versions of data, code and packages."""

import json
from importlib.metadata import version
from typing import Any

from tasks.spec.read import read_product
from tasks.workspace.files import sha256_of
from tasks.workspace.paths import CARD, Workspace

PACKAGES = ("inspectline", "torch", "torchvision", "numpy", "onnx", "onnxruntime")


def provenance(workspace: Workspace, product: str, algorithm: str) -> dict[str, Any]:
    """Versions of data, code and packages. No times: equal content must be one release."""
    tables = workspace.validation(product)
    code = workspace.root / "data" / ".code"
    card = json.loads((workspace.model(product, algorithm) / CARD).read_text())
    return {
        "spec": read_product(workspace.root, product).model_dump(mode="json"),
        "preset": card.get("preset"),  # not known of a model of version 0.1
        "image": card["image"],  # of this model; the spec's is the product's
        "training": card.get("training"),
        "steps": card.get("steps"),  # of training, by stage
        "parameters": card["parameters"],  # the seed among them
        "images": {n: sha256_of(tables / n) for n in ("train.csv", "test.csv", "manifest.csv")},
        "code": {n: sha256_of(code / f"{n}.json") for n in ("fit", "evaluate", algorithm)},
        "packages": {name: version(name) for name in PACKAGES},
    }
