"""What is known of the algorithms without importing one: names, parameters, what is shared."""

import ast
from contextlib import suppress
from functools import cache
from typing import Any

from tasks.workspace.paths import PACKAGE


@cache
def known_algorithms() -> tuple[str, ...]:
    """Names of all algorithms: their files. Asking the package itself would import torch."""
    files = (PACKAGE / "ad_models" / "algorithms").glob("[a-z]*.py")
    return tuple(sorted(path.stem for path in files))


@cache
def config_fields(algorithm: str) -> tuple[str, ...]:
    """Parameters of an algorithm: the fields of its Config, read without importing it."""
    return tuple(_fields(algorithm))


@cache
def config_values(algorithm: str) -> dict[str, Any]:
    """The parameters of an algorithm whose default is a plain value, with it."""
    found = {}
    for name, field in _fields(algorithm).items():
        with suppress(ValueError):  # a call, a name of another value, or no default
            found[name] = ast.literal_eval(field.value or ast.Name(name))
    return found


@cache
def per_product(algorithm: str) -> tuple[str, ...]:
    """`Detector.per_product` of an algorithm, read without importing it; empty for nearly all."""
    lines = [n for node in _classes(algorithm) for n in node.body if isinstance(n, ast.Assign)]
    named = [n.value for n in lines if ast.unparse(n.targets[0]) == "per_product"]
    return tuple(ast.literal_eval(named[0])) if named else ()


def _fields(algorithm: str) -> dict[str, ast.AnnAssign]:
    """The fields of its Config by name, after those of the Config that it extends."""
    tree = _tree(f"ad_models.algorithms.{algorithm}")
    found: dict[str, ast.AnnAssign] = {}
    for config in (node for node in _classes_of(tree) if node.name.endswith("Config")):
        found |= _fields_of(config, tree)
    return found


def _fields_of(config: ast.ClassDef, tree: ast.Module) -> dict[str, ast.AnnAssign]:
    found: dict[str, ast.AnnAssign] = {}
    for base in map(ast.unparse, config.bases):
        imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
        (module,) = [n.module for n in imports if base in [alias.name for alias in n.names]]
        other = _tree(str(module))
        (above,) = [node for node in _classes_of(other) if node.name == base]
        found |= _fields_of(above, other)
    own = [node for node in config.body if isinstance(node, ast.AnnAssign)]
    return found | {ast.unparse(field.target): field for field in own}


def _classes(algorithm: str) -> list[ast.ClassDef]:
    return _classes_of(_tree(f"ad_models.algorithms.{algorithm}"))


def _classes_of(tree: ast.Module) -> list[ast.ClassDef]:
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text())
