"""The name of the settings with which a model was made."""

import pytest

from ad_models import config
from tasks.models.presets import preset_of
from tasks.spec.read import check, read_yaml
from tasks.spec.schema import Params
from tests.algorithms.test_quick_presets import PARAMS

PRESETS = check(Params, read_yaml(PARAMS), PARAMS).presets


@pytest.mark.parametrize("algorithm", sorted(PRESETS["quick"]))
def test_a_preset_is_known_by_its_values(algorithm):
    quick = PRESETS["quick"][algorithm]
    assert preset_of(PRESETS, algorithm, config(algorithm, **quick)) == "quick"
    assert preset_of(PRESETS, algorithm, config(algorithm)) == "paper"
    assert preset_of({}, algorithm, config(algorithm, **quick)) == "own values"


def test_one_changed_value_is_told_and_another_seed_is_not():
    quick = PRESETS["quick"]["kdad"]
    assert preset_of(PRESETS, "kdad", config("kdad", **quick | {"lr": 0.5})) == "own values"
    apart = config("kdad", **quick | {"seed": 3, "weights": "random"})
    assert preset_of(PRESETS, "kdad", apart) == "quick"
    assert preset_of(PRESETS, "padim", config("padim")) == "paper"  # quick says nothing of it


def test_what_auto_puts_in_the_place_of_a_backbone_is_the_same_preset():
    quick = PRESETS["quick"]["padim"]
    put = config("padim", **quick | {"backbone": "drawnet"})
    assert preset_of(PRESETS, "padim", put) == "quick"
    other = config("padim", **quick | {"backbone": "resnet34"})
    assert preset_of(PRESETS, "padim", other) == "own values"
