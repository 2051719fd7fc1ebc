"""Where a model and a decision come from, for whoever has to answer for them later."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.spec.read import read_product
from tasks.workspace.paths import CARD, Workspace

PACKAGES = ("inspectline", "torch", "torchvision", "numpy", "onnx", "onnxruntime")


def provenance(workspace: Workspace, product: str, algorithm: str) -> dict[str, Any]:
    """Versions of data, code and packages. No times: equal content must be one release."""
    tables = workspace.validation(product)
    code = workspace.root / "data" / ".code"
    card = json.loads((workspace.model(product, algorithm) / CARD).read_text())
    return {
        "spec": read_product(workspace.root, product).model_dump(mode="json"),
        "parameters": card["parameters"],  # the seed among them
        "images": {n: _sha256(tables / n) for n in ("train.csv", "test.csv", "manifest.csv")},
        "code": {n: _sha256(code / f"{n}.json") for n in ("fit", "evaluate", algorithm)},
        "packages": {name: version(name) for name in PACKAGES},
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
