"""Set parameters of an algorithm in the spec of a product, with a record of who, when and why."""

from typing import Any

from tasks.build.graph import sync
from tasks.products.changing import (
    Content,
    edit_yaml_exactly,
    locked_for_change,
    one_line,
    write_change,
)
from tasks.spec.read import asks_for_auto, product_of, read_as_written, read_yaml
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace


def set_parameters(
    workspace: Workspace, product: str, algorithm: str, change: Content, *, by: str, reason: str
) -> Content:
    """Change parameters of an algorithm; the record. Its cell is trained again by the next run.

    Where the algorithms were chosen by the number of images, or are a list, they are named now.
    """
    workspace.require(product)
    by, reason = one_line(by, "the name"), one_line(reason, "the reason")
    path = workspace.product(product) / "product.yaml"
    with locked_for_change(workspace, path, None):
        text, own = path.read_text(encoding="utf-8"), read_yaml(path)
        now = read_as_written(workspace.root, product).algorithms
        old = now.get(algorithm) or {}
        algorithms = {**now, algorithm: old | change}
        if algorithms[algorithm] == old:
            raise LineError(f"{algorithm} of {product} already has these values")
        expected: Content = {**own, "algorithms": algorithms}
        product_of(workspace.root, product, expected)
        after = edit_yaml_exactly(text, expected, lambda spec: _enter(spec, algorithms), path)
        values = ", ".join(f"{name} {value}" for name, value in change.items())
        body: Content = {"by": by, "reason": reason, "algorithm": algorithm, "old": old}
        if asks_for_auto(workspace.root, own):
            body["note"] = "auto chose the algorithms until now; the spec names them from now on"
        body |= {"new": algorithms[algorithm], "what": f"{algorithm}: {values}"}
        written = write_change(workspace, product, "parameters", path, after, body)
        sync(workspace, [product])
        return written


def _enter(spec: Any, algorithms: Content) -> None:
    section = spec.get("algorithms")
    if not isinstance(section, dict):
        spec["algorithms"] = algorithms
        return
    for name, parameters in algorithms.items():
        if section.get(name) != parameters:
            section[name] = parameters
