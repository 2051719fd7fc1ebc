"""What each stage of a product reads of its spec, as resolved values: its recipe.

A stage depends on its part of the recipe and not on the files that people edit. So a key in another
place, another order or a new default changes nothing where the value is the same, and `dvc params
diff` tells which value changed.

A key that came after format 1 is left out as long as it has the value with which it came: that is
what cells made before it did. So a new key with a default makes nothing stale.
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasks.spec.cell_input import cell_input, shared_batch_size
from tasks.spec.parameters import algorithm_parameters, shared_parameters, trained_on
from tasks.spec.read import check, read_product, read_yaml
from tasks.spec.schema import (
    Evaluation,
    Image,
    Product,
    Regions,
    Section,
    Severity,
    ThresholdSpec,
    Training,
    Validation,
)
from tasks.workspace.errors import SpecError

RULE = {"policy", "overkill", "miss", "value"}
# Keys of format 1. Never changed: a key that comes later stands in LATER.
FIRST = {
    "validation": {
        *("size", "min_size", "channels", "bits", "min_train", "min_test_good"),
        *("min_test_defective", "near_duplicate_bits", "near_duplicate_difference"),
        *("range_tolerance", "extreme_ratio"),
    },
    "image": {"size", "color", "resize", "roi", "tile"},
    "training": {"batch_size", "precision", "calibration", "folds", "order"},
    "threshold": RULE | {"confidence", "calibration_defects", "min_defects", "review"},
    "threshold.review": RULE,
    "regions": {"value", "overkill", "min_area", "opening"},
    "severity": {"types", "default", "critical", "major", "minor"},
    "severity.critical": {"miss", "min_area"},
    "severity.major": {"miss", "min_area"},
    "severity.minor": {"miss", "min_area"},
    "evaluation": {"resolution", "resamples", "pictures"},
}
# Each key that came later, with the value that it came with: what cells made before it did.
LATER: dict[str, Any] = {
    "threshold.score": "model",
    "image.bits": None,
    "threshold.cost": {"miss": 20.0, "overkill": 1.0, "review": 0.2, "defects": 0.05},
    "threshold.cost.miss": 20.0,
    "threshold.cost.overkill": 1.0,
    "threshold.cost.review": 0.2,
    "threshold.cost.defects": 0.05,
}


class FitRecipe(Section):
    """What a fit reads."""

    parameters: dict[str, Any]
    image: Image
    training: Training


class EvaluateRecipe(Section):
    """What an evaluation reads."""

    threshold: ThresholdSpec
    regions: Regions
    severity: Severity
    evaluation: Evaluation


def product_recipe(root: Path, product: str) -> dict[str, Any]:
    """The recipes of a product's stages: `validate`, `fit` by algorithm, and `evaluate`."""
    spec = read_product(root, product)
    return {
        "validate": _values(spec, "validation") | _bits(spec),
        "fit": {
            algorithm: {
                "parameters": algorithm_parameters(root, product, algorithm),
                **_input_values(root, product, algorithm),
            }
            for algorithm in spec.algorithms
        },
        "evaluate": _values(spec, "threshold", "regions", "severity", "evaluation"),
    }


def shared_recipe(root: Path, algorithm: str, products: list[str]) -> dict[str, Any]:
    """Everything that the training of a shared algorithm depends on, except the images.

    products: all of the workspace.
    """
    taught = {p: cell_input(root, p, algorithm) for p in trained_on(root, algorithm, products)}
    return {
        "parameters": shared_parameters(root, algorithm),
        "batch_size": shared_batch_size(root, algorithm),
        "products": {
            product: {
                "image": values_of(seen.image, "image"),
                "calibration": seen.training.calibration,
            }
            for product, seen in taught.items()
        },
    }


def read_fit(path: Path, algorithm: str) -> FitRecipe:
    """The recipe of a fit, from a product's recipe.yaml."""
    return check(FitRecipe, _part(path, "fit", algorithm), path)


def read_evaluate(path: Path) -> EvaluateRecipe:
    """The recipe of a product's evaluations, from its recipe.yaml."""
    return check(EvaluateRecipe, _part(path, "evaluate"), path)


def read_validate(path: Path) -> Validation:
    """The rules of a product's validation, from its recipe.yaml."""
    return check(Validation, _part(path, "validate", "validation"), path)


def read_bits(path: Path) -> int | None:
    """The bits of 16 that a product's images use, by its recipe.yaml; None for all."""
    return (_part(path, "validate").get("image") or {}).get("bits")


def _bits(spec: Product) -> dict[str, Any]:
    """What validation reads of `image`; nothing where all bits are used."""
    return {} if spec.image.bits is None else {"image": {"bits": spec.image.bits}}


def _part(path: Path, *keys: str) -> Any:
    found: Any = read_yaml(path)
    for key in keys:
        if not isinstance(found, dict) or key not in found:
            raise SpecError(f"{path} has no {'.'.join(keys)}; `inspectline sync` writes it")
        found = found[key]
    return found


def _values(spec: Product, *sections: str) -> dict[str, Any]:
    return {name: values_of(getattr(spec, name), name) for name in sections}


def _input_values(root: Path, product: str, algorithm: str) -> dict[str, Any]:
    found = cell_input(root, product, algorithm)
    return {name: values_of(section, name) for name, section in found._asdict().items()}


def values_of(section: BaseModel, path: str) -> dict[str, Any]:
    """The values of a section at `path`, as YAML holds them, but for later keys that say what
    was done before they came."""
    plain = section.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value, where = getattr(section, name), f"{path}.{name}"
        if name not in FIRST.get(path, ()):
            default = field.get_default(call_default_factory=True)
            if value == default and plain[name] == LATER.get(where, plain[name]):
                continue
        found[name] = values_of(value, where) if isinstance(value, BaseModel) else plain[name]
    return found
