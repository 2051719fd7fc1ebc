"""The product's spec: what product.yaml and params.yaml may say, checked."""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    model_validator,
)

from tasks.automatic import AUTO, choice_of, teachers
from tasks.errors import SpecError, hint
from tasks.sections import (
    Drift,
    Regions,
    Retrain,
    Section,
    Severity,
    Share,
    Threshold,
    fields_at,
)
from tasks.workspace import PACKAGE


def _square(size: Any) -> Any:
    return (size, size) if isinstance(size, int) and not isinstance(size, bool) else size


T = TypeVar("T", bound=Section)
PRESET = "preset"  # beside an algorithm's parameters: a named set of them that lies below
TRAIN_ON = "train_on"  # beside the parameters of an algorithm that products share: which ones
PAPER = "paper"  # the preset that says nothing: every Config's defaults are the paper's
Side = Annotated[int, Field(ge=32, le=16384)]


class Image(Section):
    size: Annotated[tuple[Side, Side], BeforeValidator(_square)] = (256, 256)  # height, width
    color: Literal["rgb", "grey"] = "rgb"
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    roi: tuple[int, int, int, int] | None = None  # left, top, width, height
    tile: Side | None = None

    @model_validator(mode="after")
    def _tile_fits(self) -> "Image":
        if self.tile and self.tile > min(self.size):
            raise ValueError(f"image.tile is {self.tile}, but image.size is only {list(self.size)}")
        return self

    @property
    def seen(self) -> tuple[int, int]:
        """Height and width that the algorithm sees at once."""
        return (self.tile, self.tile) if self.tile else self.size


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"training.order '{text}' is no regular expression: {error}") from None
    return text


class Training(Section):
    batch_size: Annotated[int, Field(ge=1)] = 16
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    calibration: Annotated[float, Field(gt=0, lt=1)] = 0.2
    folds: Annotated[int, Field(ge=0, le=20)] = 4
    order: Annotated[str, AfterValidator(_pattern)] | None = None


class Evaluation(Section):
    resolution: Literal["native", "model"] = "native"
    resamples: Annotated[int, Field(ge=0, le=100_000)] = 1000
    pictures: Annotated[int, Field(ge=0)] = 1000


class Gates(Section):
    image_auroc: Share | None = 0.8
    aupro_30: Share | None = None
    miss: Share | None = None
    overkill: Share | None = None
    ms_per_image: Annotated[float, Field(gt=0)] | None = None
    ms_p95: Annotated[float, Field(gt=0)] | None = None
    size_mb: Annotated[float, Field(gt=0)] | None = None
    rule: Literal["not_worse", "better"] = "not_worse"
    margin: Share = 0.02
    parity: Annotated[float, Field(gt=0, lt=1)] = 0.001


def _named(algorithms: Any) -> Any:
    """A list of names is a mapping of names to no overrides; `auto` names none itself."""
    if algorithms == AUTO:
        return {}
    return dict.fromkeys(algorithms) if isinstance(algorithms, list) else algorithms


def _known(algorithms: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any] | None]:
    """Raise unless each name is an algorithm and each key a field of its Config."""
    for name, parameters in algorithms.items():
        if name not in known_algorithms():
            raise ValueError(f"unknown algorithm '{name}'; {hint(name, known_algorithms())}")
        known = (*config_fields(name), PRESET, *([TRAIN_ON] if per_product(name) else []))
        for key in parameters or {}:
            if key not in known:
                raise ValueError(f"{name} has no parameter '{key}'; {hint(key, known)}")
    return algorithms


Algorithms = Annotated[
    dict[str, dict[str, Any] | None], BeforeValidator(_named), AfterValidator(_known)
]


class Release(Section):
    onnx: bool = True
    int8: bool = False


class Product(Section):
    """product.yaml over `defaults` of params.yaml."""

    algorithms: Algorithms = {}
    image: Image = Image()
    training: Training = Training()
    validation: dict[str, Any] = {}
    threshold: Threshold = Threshold()
    regions: Regions = Regions()
    severity: Severity = Severity()
    evaluation: Evaluation = Evaluation()
    gates: Gates = Gates()
    release: Release = Release()
    drift: Drift = Drift()
    retrain: Retrain = Retrain()
    schedule: str | None = None


Seconds = Annotated[float, Field(gt=0)]


class Workers(Section):
    """Cells on other machines."""

    git: str = "origin"
    batch: Annotated[int, Field(ge=1)] = 8
    per_gpu: Annotated[int, Field(ge=1)] = 1
    checkpoint: Seconds = 120.0
    silence: Annotated[float, Field(ge=30)] = 60.0
    rest: Seconds = 60.0
    attempts: Annotated[int, Field(ge=1)] = 3


Occasion = Literal["promoted", "refused", "failed", "drift"]


class Notify(Section):
    """Who hears of what."""

    block: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]  # type/name
    on: tuple[Occasion, ...] = ("promoted", "refused", "failed", "drift")


class Line(Section):
    store: str = "store"
    single_writer: bool = False
    slots: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    retries: Annotated[int, Field(ge=0, le=10)] = 1
    patience: Annotated[float, Field(ge=0)] = 180.0
    workers: Workers | None = None
    notify: Notify | None = None


def _steps(steps: dict[int, list[str]]) -> dict[int, list[str]]:
    """Raise unless each name is an algorithm."""
    for names in steps.values():
        _known(dict.fromkeys(names))
    return steps


class Params(Section):
    """params.yaml."""

    defaults: Product = Product()
    auto: Annotated[dict[int, list[str]], AfterValidator(_steps)] = {}
    presets: dict[str, Algorithms] = {}
    algorithms: Algorithms = {}
    line: Line = Line()


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; an empty or absent file is an empty mapping."""
    try:
        content = yaml.safe_load(path.read_text()) if path.exists() else None
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is no valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SpecError(f"{path} must hold keys and values, not a {type(content).__name__}")
    return content


def read_params(workspace: Path) -> Params:
    path = workspace / "params.yaml"
    return check(Params, read_yaml(path), path)


def read_product(workspace: Path, product: str) -> Product:
    """The product's whole spec: its own keys over the workspace's defaults."""
    own = read_yaml(workspace / "data" / product / "product.yaml")
    return product_of(workspace, product, own)


def product_of(workspace: Path, product: str, own: dict[str, Any]) -> Product:
    """The whole spec of a product whose product.yaml says `own`."""
    defaults = read_yaml(workspace / "params.yaml").get("defaults") or {}
    path = workspace / "data" / product / "product.yaml"
    check(Product, own, path)  # first alone: an error then names the file it stands in
    merged = _over(own, defaults)
    if merged.get("algorithms") == AUTO:
        merged["algorithms"] = list(choice_of(path.parent)["algorithms"])
    return check(Product, merged, path)


def is_automatic(workspace: Path, product: str) -> bool:
    """Whether the product's algorithms are chosen by its images."""
    own = read_yaml(workspace / "data" / product / "product.yaml")
    defaults = read_yaml(workspace / "params.yaml").get("defaults") or {}
    return bool(own.get("algorithms", defaults.get("algorithms")) == AUTO)


def algorithm_parameters(workspace: Path, product: str, algorithm: str) -> dict[str, Any]:
    """The algorithm's parameters: the product's over those of params.yaml over the preset's, or
    over the preset that it names itself."""
    named = read_product(workspace, product).algorithms.get(algorithm) or {}
    own = per_product(algorithm)
    if own and (others := sorted(set(named) - set(own))):
        raise SpecError(
            f"{product} sets '{others[0]}' of {algorithm}, but all products share what it learns: "
            f"only {', '.join(own)} can be a product's own; the rest stands in params.yaml"
        )
    chosen = _chosen(read_params(workspace), algorithm, named)
    chosen.pop(TRAIN_ON, None)
    return chosen


def shared_parameters(workspace: Path, algorithm: str) -> dict[str, Any]:
    """Parameters with which a shared algorithm learns: those that no product can set."""
    chosen = _chosen(read_params(workspace), algorithm, {})
    return {k: v for k, v in chosen.items() if k not in (*per_product(algorithm), TRAIN_ON)}


def trained_on(workspace: Path, algorithm: str, products: list[str]) -> list[str]:
    """Those of the workspace's products that a shared algorithm learns from, sorted."""
    named = _chosen(read_params(workspace), algorithm, {}).get(TRAIN_ON)
    if named is None:
        automatic = [product for product in products if is_automatic(workspace, product)]
        images = {p: int(choice_of(workspace / "data" / p)["images"]) for p in automatic}
        named = teachers(images, products)
    if not isinstance(named, list) or not named:
        raise SpecError(f"{algorithm}.{TRAIN_ON} must list products, got {named!r}")
    for name in named:
        if name not in products:
            raise SpecError(f"{algorithm}.{TRAIN_ON}: no product '{name}'; {hint(name, products)}")
    return sorted(set(named))


def _chosen(params: Params, algorithm: str, named: dict[str, Any]) -> dict[str, Any]:
    """The parameters `named` over those of params.yaml over the preset's. Where `named` names a
    preset itself, it starts from there: params.yaml has spoken for the preset it names."""
    general = {} if PRESET in named else params.algorithms.get(algorithm) or {}
    chosen = general | named
    preset = chosen.pop(PRESET, PAPER)
    if preset not in (known := [PAPER, *params.presets]):
        raise SpecError(f"{algorithm} asks for the preset '{preset}'; {hint(str(preset), known)}")
    return (params.presets.get(preset, {}).get(algorithm) or {}) | chosen


def preset_of(general: dict[str, Any], own: dict[str, Any], algorithm: str) -> str:
    """Name of the preset that params.yaml and product.yaml, as read, choose for the algorithm."""
    chosen = PAPER
    for section in (general, own if "algorithms" in own else general.get("defaults") or {}):
        named = section.get("algorithms")
        keys = named.get(algorithm) if isinstance(named, dict) else None
        chosen = (keys or {}).get(PRESET, chosen)
    return chosen


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
        return kind(**content)
    except ValidationError as error:
        lines = [_line(kind, item) for item in error.errors()]
        raise SpecError(f"{path}: " + "; ".join(dict.fromkeys(lines))) from error


def _line(kind: type[Section], error: Any) -> str:
    where = [str(part) for part in error["loc"]]
    if error["type"] != "extra_forbidden":
        if error["type"] == "value_error":  # raised by a check of ours, and complete
            return str(error["ctx"]["error"])
        message = error["msg"][0].lower() + error["msg"][1:]
        return f"{'.'.join(where)}: {message}, got {error['input']!r}"
    known = fields_at(kind, where[:-1])
    return f"unknown key '{'.'.join(where)}'; {hint(where[-1], known)}"


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
def per_product(algorithm: str) -> tuple[str, ...]:
    """`Detector.per_product` of an algorithm, read without importing it; empty for nearly all."""
    lines = [n for node in _classes(algorithm) for n in node.body if isinstance(n, ast.Assign)]
    named = [n.value for n in lines if ast.unparse(n.targets[0]) == "per_product"]
    return tuple(ast.literal_eval(named[0])) if named else ()


def _classes(algorithm: str) -> list[ast.ClassDef]:
    tree = ast.parse((PACKAGE / "ad_models" / "algorithms" / f"{algorithm}.py").read_text())
    return [node for node in tree.body if isinstance(node, ast.ClassDef)]
