"""The words for the settings with which a model was made."""

import pytest

from ad_models import config
from tasks.models.presets import made_with, pixels
from tasks.spec.algorithms import known_algorithms
from tasks.spec.cell_input import said
from tasks.spec.read import check, read_yaml
from tasks.spec.schema import IMAGE, NO_PARAMETERS, TRAINING, Image, Params, Training
from tests.algorithms.test_quick_presets import PARAMS

PRESETS = check(Params, read_yaml(PARAMS), PARAMS).presets


def values(preset, algorithm):
    asked = PRESETS[preset].get(algorithm) or {}
    return {key: value for key, value in asked.items() if key not in NO_PARAMETERS}


def preset_of(presets, algorithm, chosen):
    """At the size and batch size of a new workspace."""
    return made_with(presets, algorithm, chosen, Image(), Training())


@pytest.mark.parametrize(
    ("preset", "algorithm"), [(preset, name) for preset, known in PRESETS.items() for name in known]
)
def test_a_preset_is_known_by_its_values(preset, algorithm):
    asked = PRESETS[preset].get(algorithm) or {}
    image = Image(size=said(asked, IMAGE) or 256)
    training = Training(batch_size=said(asked, TRAINING) or 16)
    chosen = config(algorithm, **values(preset, algorithm))
    assert made_with(PRESETS, algorithm, chosen, image, training, preset) == preset


def test_every_algorithm_has_a_standard_and_nearly_all_a_quick_one():
    assert sorted(PRESETS["standard"]) == list(known_algorithms())
    without = {"cyclegan", "denoising_autoencoder", "efficientad", "f_anogan", "riad"}
    assert {*known_algorithms()} - {*PRESETS["quick"]} == without


@pytest.mark.parametrize("algorithm", known_algorithms())
def test_a_new_workspace_names_a_preset_that_there_is(algorithm):
    named = check(Params, read_yaml(PARAMS), PARAMS).algorithms[algorithm]["preset"]
    assert algorithm in PRESETS[named]


def test_without_presets_the_nearest_is_the_paper():
    said = "at 256 px (paper: 224 px)"
    assert preset_of({}, "padim", config("padim")) == f"paper, {said}"
    assert preset_of({}, "padim", config("padim", dims=7)) == f"paper, dims 7, {said}"


def test_changed_values_are_told_and_another_seed_is_not():
    quick = values("quick", "kdad")

    def told(**changes):
        return preset_of(PRESETS, "kdad", config("kdad", **quick | changes))

    assert told(lr=0.5) == "quick, lr 0.5"
    assert told(lr=0.5, layers=["layer1", "layer2"]) == "quick, layers [layer1, layer2], lr 0.5"
    assert told(lr=0.5, narrow=8, value=0.25) == "quick with 3 values changed"
    assert told(seed=3, weights="random") == "quick"


def test_what_auto_puts_in_the_place_of_a_backbone_is_the_same_preset():
    quick = values("quick", "padim")
    put = config("padim", **quick | {"backbone": "drawnet"})
    assert preset_of(PRESETS, "padim", put) == "quick"
    other = config("padim", **quick | {"backbone": "resnet34"})
    assert preset_of(PRESETS, "padim", other) == "quick, backbone resnet34"


@pytest.mark.parametrize("presets", [PRESETS, {}])  # one without `paper` has it from the package
def test_another_size_or_batch_than_the_preset_has_is_told(presets):
    def told(size=512, batch=8, **more):
        image, training = Image(size=size, **more), Training(batch_size=batch)
        return made_with(presets, "msflow", config("msflow"), image, training)

    assert told() == "paper"
    assert told(256, 16) == "paper, at 256 px (paper: 512 px), batch 16 (paper: 8)"
    assert told((512, 256)) == "paper, at 512 x 256 px (paper: 512 px)"
    assert told(tile=128) == "paper, at 512 px in tiles of 128 px (paper: 512 px)"


def test_what_the_spec_names_decides_between_equals():
    def told(named, size):
        chosen = config("patchcore", **values("standard", "patchcore"))
        return made_with(PRESETS, "patchcore", chosen, Image(size=size), Training(), named)

    assert told("paper", 256) == "paper, at 256 px (paper: 224 px)"
    assert told("standard", 256) == "standard"
    assert told("quick", 224) == "paper"


def test_a_preset_that_says_no_size_takes_any():
    chosen = config("padim", **values("quick", "padim"))
    told = made_with(PRESETS, "padim", chosen, Image(size=64), Training(batch_size=3))
    assert told == "quick" and pixels(Image(size=64)) == "64 px"


def test_a_batch_size_in_quotes_is_a_number():
    mine = {"mine": {"padim": {"dims": 7, "training": {"batch_size": "16"}}}}
    assert preset_of(mine, "padim", config("padim", dims=7)) == "mine"


def test_a_preset_that_no_algorithm_takes_is_never_the_nearest():
    wrong = {"wrong": {"padim": {"dims": -1}}}
    assert preset_of(wrong, "padim", config("padim", dims=7)).startswith("paper, dims 7, ")
