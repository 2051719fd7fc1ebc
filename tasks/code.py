"""Fingerprints of code, so that a change in it makes exactly the cells stale that it reaches.

A DVC stage `code@NAME` depends on the files that NAME (an algorithm, or a step such as `fit`)
imports, directly or not, and writes a hash of what they mean: the syntax tree without
docstrings and comments. Cells depend on that small file. So an edited comment costs
nothing, an edited shared file retrains what uses it, and a new algorithm nothing else.
"""

import ast
import hashlib
import json
import sys
from functools import cache
from pathlib import Path

from tasks.workspace import PACKAGE, Workspace, find

STEPS = ("validate", "pretrain", "fit", "evaluate")


def entry(name: str) -> Path:
    """The file at which a step or an algorithm begins, relative to the package's folder."""
    return Path("tasks" if name in STEPS else "ad_models/algorithms") / f"{name}.py"


def closure(name: str, package: Path = PACKAGE) -> list[Path]:
    """The files `name` imports from this package, itself first, relative to `package`.

    A package's `__init__` is a table of contents and left out: a line more in the list of
    algorithms must not retrain the others.
    """
    found: list[Path] = []
    queue = [entry(name)]
    while queue:
        path = queue.pop()
        if path not in found:
            found.append(path)
            queue += [p for p in _imports(package / path) if (package / p).exists()]
    return [found[0], *sorted(found[1:])]


@cache
def _imports(path: Path) -> list[Path]:
    modules = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    ours = [m for m in modules if m.split(".")[0] in ("ad_models", "tasks")]
    return [Path(*module.split(".")).with_suffix(".py") for module in ours]


def fingerprint(name: str, package: Path = PACKAGE) -> dict[str, str]:
    """sha256 of each file's meaning, by path."""
    return {str(path): _meaning(package / path) for path in closure(name, package)}


def _meaning(path: Path) -> str:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def code(workspace: Workspace, name: str) -> Path:
    """Write the fingerprint of `name` into the workspace."""
    path = workspace.root / "data" / ".code" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fingerprint(name), indent=1, sort_keys=True) + "\n")
    return path


if __name__ == "__main__":
    code(find(), sys.argv[1])
