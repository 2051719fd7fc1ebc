"""What is known of the algorithms without importing one: names, parameters, what is shared."""

import ast
from functools import cache

from tasks.workspace.paths import PACKAGE


@cache
def known_algorithms() -> tuple[str, ...]:
    """Names of all algorithms: their files. Asking the package itself would import torch."""
    files = (PACKAGE / "ad_models" / "algorithms").glob("[a-z]*.py")
    return tuple(sorted(path.stem for path in files))


@cache
def config_fields(algorithm: str) -> tuple[str, ...]:
    """Parameters of an algorithm: the fields of its Config, read without importing it."""
    configs = [node for node in _classes(algorithm) if node.name.endswith("Config")]
    fields = [n for config in configs for n in config.body if isinstance(n, ast.AnnAssign)]
    return tuple(field.target.id for field in fields if isinstance(field.target, ast.Name))


@cache
def config_texts(algorithm: str) -> dict[str, str]:
    """The parameters of an algorithm whose default is a text, with it."""
    configs = [node for node in _classes(algorithm) if node.name.endswith("Config")]
    fields = [n for config in configs for n in config.body if isinstance(n, ast.AnnAssign)]
    return {
        ast.unparse(field.target): field.value.value
        for field in fields
        if isinstance(field.value, ast.Constant) and isinstance(field.value.value, str)
    }


@cache
def per_product(algorithm: str) -> tuple[str, ...]:
    """`Detector.per_product` of an algorithm, read without importing it; empty for nearly all."""
    lines = [n for node in _classes(algorithm) for n in node.body if isinstance(n, ast.Assign)]
    named = [n.value for n in lines if ast.unparse(n.targets[0]) == "per_product"]
    return tuple(ast.literal_eval(named[0])) if named else ()


def _classes(algorithm: str) -> list[ast.ClassDef]:
    tree = ast.parse((PACKAGE / "ad_models" / "algorithms" / f"{algorithm}.py").read_text())
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]
