"""Recipes: what a stage reads of the spec, as values."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from tasks.spec import recipe
from tasks.spec.recipe import product_recipe, read_evaluate, read_fit, values_of
from tasks.spec.schema import Product, Section, Training
from tasks.workspace.errors import SpecError
from tasks.workspace.files import write_json

PRESETS = """
defaults: {algorithms: [padim, patchcore], image: {size: 64}}
algorithms: {padim: {preset: quick, sigma: 3.0}, patchcore: {ratio: 0.1}}
presets: {quick: {padim: {dims: 10, sigma: 2.0}}}
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(PRESETS)
    (tmp_path / "data" / "nut").mkdir(parents=True)
    (tmp_path / "data" / "nut" / "product.yaml").write_text("threshold: {overkill: 0.1}")
    return tmp_path


def test_a_fit_has_the_values_of_its_own_preset(root):
    made = product_recipe(root, "nut")
    assert made["fit"]["padim"]["parameters"] == {"dims": 10, "sigma": 3.0}
    assert made["fit"]["patchcore"]["parameters"] == {"ratio": 0.1}
    assert made["fit"]["padim"]["image"]["size"] == [64, 64]
    assert made["evaluate"]["threshold"]["overkill"] == 0.1
    assert set(made["validate"]) == {"validation"}


def test_what_is_read_is_what_was_written(root):
    write_json(root / "recipe.yaml", product_recipe(root, "nut"))  # JSON is YAML too
    found = read_fit(root / "recipe.yaml", "padim")
    assert found.parameters == {"dims": 10, "sigma": 3.0} and found.image.size == (64, 64)
    assert read_evaluate(root / "recipe.yaml").threshold.overkill == 0.1
    with pytest.raises(SpecError, match=r"recipe.yaml has no fit.vae; `inspectline sync`"):
        read_fit(root / "recipe.yaml", "vae")


class Longer(Training):
    again: int = 7


@pytest.mark.parametrize(
    ("came_with", "default", "value", "written"),
    [
        (7, 7, 7, False),  # as before the key came
        (7, 7, 8, True),
        (5, 7, 7, True),  # another default since: what was made before did 5
        (5, 7, 5, True),
    ],
)
def test_a_later_key_is_left_out_while_it_says_what_was_done_before(
    monkeypatch, came_with, default, value, written
):
    monkeypatch.setitem(recipe.LATER, "training.again", came_with)
    assert Longer.model_fields["again"].default == default
    assert ("again" in values_of(Longer(again=value), "training")) is written


def keys(kind: type[BaseModel], path: str) -> Iterator[str]:
    """Every key below a section of the spec, with its path."""
    for name, field in kind.model_fields.items():
        where = f"{path}.{name}"
        yield where
        for option in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(option, type) and issubclass(option, Section):
                yield from keys(option, where)


def test_every_key_that_a_cell_reads_is_of_the_first_format_or_has_the_value_it_came_with():
    first = {f"{path}.{name}" for path, names in recipe.FIRST.items() for name in names}
    sections = {name for name in recipe.FIRST if "." not in name}
    found = {
        key
        for name in sections
        for key in keys(Product.model_fields[name].annotation, name)  # type: ignore[arg-type]
    }
    assert found == first | set(recipe.LATER), "name a new key in LATER, with its default"
