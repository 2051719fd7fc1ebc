"""Where a model and a decision come from, for whoever has to answer for them later."""

import getpass
import hashlib
import json
import platform
import socket
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tasks.spec import read_product
from tasks.workspace import CARD, Workspace

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


def origin(workspace: Workspace) -> dict[str, Any]:
    """The machine, and the workspace's git commit (None before the first) with what differs
    from it."""
    edited = (_git(workspace.root, "status", "--porcelain") or "").splitlines()
    return {
        "commit": _git(workspace.root, "rev-parse", "--verify", "--quiet", "HEAD"),
        "edited": [line[3:] for line in edited],
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def operator() -> str:
    """Who gives a command."""
    return getpass.getuser()


def _git(root: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(root), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.rstrip() if ended.returncode == 0 else None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
