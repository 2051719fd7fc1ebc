"""The product's spec: what product.yaml and params.yaml may say, checked.

A mistake in one product.yaml must not stop the other products: what it said when its stages were
last planned is kept (`keep_spec`), and stands in for it until it is mended. Who asks for that very
product is told (`mistake_in`).
"""

import reprlib
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from tasks.spec.automatic import AUTO, choice_of
from tasks.spec.schema import Params, Product, Section, fields_at
from tasks.workspace.errors import SpecError, hint
from tasks.workspace.files import write_bytes
from tasks.workspace.paths import SCRATCH
from tasks.workspace.yaml_text import parse_yaml, read_text

PARAMS = Path(__file__).with_name("params.yaml")  # what a new workspace starts from
UNTIL = "until it is mended, what it said before holds"  # of a product.yaml with a mistake
SHOWN = reprlib.Repr()  # of a wrong value, in an error
SHOWN.maxlevel, SHOWN.maxstring, SHOWN.maxother = 2, 80, 80
T = TypeVar("T", bound=Section)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty or absent file is an empty mapping."""
    return _mapping(read_text(path), path) if path.exists() else {}


def _mapping(text: str, path: Path) -> dict[str, Any]:
    content = parse_yaml(text, path)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SpecError(f"{path} must hold keys and values, not a {type(content).__name__}")
    return content


def read_params(workspace: Path) -> Params:
    """params.yaml of a workspace. Not to be changed: who reads the same text gets the same one."""
    return _params_of(workspace)[1]


def _params_of(workspace: Path) -> tuple[dict[str, Any], Params]:
    path = workspace / "params.yaml"
    return _params(read_text(path) if path.exists() else "", path)


@lru_cache(maxsize=4)
def _params(text: str, path: Path) -> tuple[dict[str, Any], Params]:
    """What a params.yaml says, and that checked. A plan reads it for every cell, and its presets
    take 7 ms to parse."""
    said = _mapping(text, path)
    return said, check(Params, said, path)


def default_params() -> Params:
    """params.yaml of a new workspace."""
    return _params(read_text(PARAMS), PARAMS)[1]


def read_product(workspace: Path, product: str) -> Product:
    """The product's whole spec: its own keys over the workspace's defaults. While product.yaml has
    a mistake, by what it said before."""
    if mistake_in(workspace, product) is None:
        try:
            return read_as_written(workspace, product)
        except SpecError as error:
            set_aside(workspace, product, error)
    try:
        return product_of(workspace, product, own_spec(workspace, product))
    except SpecError:
        forget_mistake(workspace, product)
        raise


def read_as_written(workspace: Path, product: str) -> Product:
    """The same by what product.yaml says now; SpecError for a mistake in it."""
    return product_of(workspace, product, read_yaml(spec_file(workspace, product)))


def own_spec(workspace: Path, product: str) -> dict[str, Any]:
    """What product.yaml says, or said before it was set aside."""
    return read_yaml(spec_in_use(workspace, product))


def spec_in_use(workspace: Path, product: str) -> Path:
    """Where `own_spec` stands."""
    aside = mistake_in(workspace, product) is not None
    return kept_spec(workspace, product) if aside else spec_file(workspace, product)


class Aside(NamedTuple):
    content: bytes  # of product.yaml
    mistake: str


_aside: dict[tuple[Path, str], Aside] = {}  # by workspace and product, of this process


def set_aside(workspace: Path, product: str, error: SpecError) -> None:
    """Let what product.yaml said before stand in for what it says; the error where that is not
    known."""
    if not kept_spec(workspace, product).is_file():
        raise error
    _aside[workspace, product] = Aside(_content(spec_file(workspace, product)), str(error))


def mistake_in(workspace: Path, product: str) -> str | None:
    """Why product.yaml is set aside; None if it is not, or is another one by now."""
    if known := _aside.get((workspace, product)):
        if _content(spec_file(workspace, product)) == known.content:
            return known.mistake
        forget_mistake(workspace, product)
    return None


def mistakes_met() -> list[str]:
    """Of every product.yaml that this process has set aside."""
    found = {key: mistake_in(*key) for key in list(_aside)}
    return [mistake for mistake in found.values() if mistake]


def forget_mistake(workspace: Path, product: str) -> None:
    """Look at product.yaml again when it is read next."""
    _aside.pop((workspace, product), None)


def forget_mistakes() -> None:
    """Begin as a new process does."""
    _aside.clear()


def keep_spec(workspace: Path, product: str) -> None:
    """Remember what product.yaml says: a plan could be made of it."""
    kept, content = kept_spec(workspace, product), _content(spec_file(workspace, product))
    if _content(kept) != content or not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(kept, content)


def kept_spec(workspace: Path, product: str) -> Path:
    return workspace / SCRATCH / "specs" / f"{product}.yaml"


def kept_specs(workspace: Path) -> list[Path]:
    """All that are kept, also of products that are gone."""
    return sorted((workspace / SCRATCH / "specs").glob("*.yaml"))


def _content(path: Path) -> bytes:
    """What a file holds; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def spec_file(workspace: Path, product: str) -> Path:
    return workspace / "data" / product / "product.yaml"


def product_of(workspace: Path, product: str, own: dict[str, Any]) -> Product:
    """The whole spec of a product whose product.yaml says `own`."""
    defaults = defaults_of(workspace)
    path = spec_file(workspace, product)
    check(Product, own, path)  # first alone: an error then names the file it stands in
    merged = _over(own, defaults)
    if merged.get("algorithms") == AUTO:
        merged["algorithms"] = list(choice_of(path.parent)["algorithms"])
    return check(Product, merged, path)


def defaults_of(workspace: Path) -> dict[str, Any]:
    """What params.yaml says for every product; an error names it where the mistake stands there."""
    return _params_of(workspace)[0].get("defaults") or {}


def is_automatic(workspace: Path, product: str) -> bool:
    """Whether the product's algorithms are chosen by its images."""
    return asks_for_auto(workspace, own_spec(workspace, product))


def asks_for_auto(workspace: Path, own: dict[str, Any]) -> bool:
    """The same of a product whose product.yaml says `own`."""
    return bool(own.get("algorithms", defaults_of(workspace).get("algorithms")) == AUTO)


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
