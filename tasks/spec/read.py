"""The product's spec: what product.yaml and params.yaml may say, checked."""

import reprlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tasks.spec.automatic import AUTO, choice_of
from tasks.spec.schema import Params, Product, Section, fields_at
from tasks.workspace.errors import SpecError, hint
from tasks.workspace.yaml_text import parse_yaml, read_text

PARAMS = Path(__file__).with_name("params.yaml")  # what a new workspace starts from
SHOWN = reprlib.Repr()  # of a wrong value, in an error
SHOWN.maxlevel, SHOWN.maxstring, SHOWN.maxother = 2, 80, 80
T = TypeVar("T", bound=Section)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty or absent file is an empty mapping."""
    content = parse_yaml(read_text(path), path) if path.exists() else None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SpecError(f"{path} must hold keys and values, not a {type(content).__name__}")
    return content


def read_params(workspace: Path) -> Params:
    """params.yaml of a workspace."""
    path = workspace / "params.yaml"
    return check(Params, read_yaml(path), path)


def default_params() -> Params:
    """params.yaml of a new workspace."""
    return check(Params, read_yaml(PARAMS), PARAMS)


def read_product(workspace: Path, product: str) -> Product:
    """The product's whole spec: its own keys over the workspace's defaults."""
    own = read_yaml(workspace / "data" / product / "product.yaml")
    return product_of(workspace, product, own)


def product_of(workspace: Path, product: str, own: dict[str, Any]) -> Product:
    """The whole spec of a product whose product.yaml says `own`."""
    defaults = defaults_of(workspace)
    path = workspace / "data" / product / "product.yaml"
    check(Product, own, path)  # first alone: an error then names the file it stands in
    merged = _over(own, defaults)
    if merged.get("algorithms") == AUTO:
        merged["algorithms"] = list(choice_of(path.parent)["algorithms"])
    return check(Product, merged, path)


def defaults_of(workspace: Path) -> dict[str, Any]:
    """What params.yaml says for every product."""
    path = workspace / "params.yaml"
    defaults = read_yaml(path).get("defaults") or {}
    if not isinstance(defaults, dict):
        raise SpecError(f"{path}: defaults must hold keys and values, got {SHOWN.repr(defaults)}")
    return defaults


def is_automatic(workspace: Path, product: str) -> bool:
    """Whether the product's algorithms are chosen by its images."""
    own = read_yaml(workspace / "data" / product / "product.yaml")
    defaults = defaults_of(workspace)
    return bool(own.get("algorithms", defaults.get("algorithms")) == AUTO)


def _over(own: dict, defaults: dict) -> dict:
    """`own` laid over `defaults`, section by section; lists and algorithms replace."""
    merged = dict(defaults)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(defaults.get(key), dict)
        merged[key] = defaults[key] | value if both and key != "algorithms" else value
    return merged


def check(kind: type[T], content: dict, path: Path) -> T:
    """`content` as a `kind`, or a SpecError that names the file, the key and the nearest key."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        lines = [_line(kind, item) for item in error.errors()]
        raise SpecError(f"{path}: " + "; ".join(dict.fromkeys(lines))) from error


def _line(kind: type[Section], error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    if error["type"] != "extra_forbidden":
        if error["type"] == "value_error":  # raised by a check of ours, and complete
            return str(error["ctx"]["error"])
        message = error["msg"][0].lower() + error["msg"][1:]
        return f"{'.'.join(where)}: {message}, got {SHOWN.repr(error['input'])}"
    known = fields_at(kind, where[:-1])
    return f"unknown key '{'.'.join(where)}'; {hint(where[-1], known)}"
