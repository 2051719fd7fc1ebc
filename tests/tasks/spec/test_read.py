from importlib import import_module

import pytest

from tasks.spec.algorithms import config_fields, known_algorithms, per_product
from tasks.spec.parameters import algorithm_parameters, shared_parameters, trained_on
from tasks.spec.read import read_params, read_product
from tasks.workspace.errors import SpecError

PARAMS = """
defaults:
  algorithms: [padim, patchcore]
  image: {size: 128, resize: pad}
algorithms:
  padim: {dims: 100, backbone: resnet18}
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "data" / "nut").mkdir(parents=True)
    return tmp_path


def product(root, text):
    (root / "data" / "nut" / "product.yaml").write_text(text)
    return read_product(root, "nut")


def test_an_empty_spec_is_the_defaults(root):
    spec = product(root, "")
    assert list(spec.algorithms) == ["padim", "patchcore"]
    assert spec.image.size == (128, 128)
    assert spec.gates.image_auroc == 0.8


def test_a_product_overrides_key_by_key(root):
    spec = product(root, "image: {size: [64, 96]}\nalgorithms: {padim: {dims: 50}}\n")
    assert spec.image.size == (64, 96)
    assert spec.image.resize == "pad"
    assert list(spec.algorithms) == ["padim"]
    assert algorithm_parameters(root, "nut", "padim") == {"dims": 50, "backbone": "resnet18"}


PRESETS = """
algorithms: {padim: {preset: quick, sigma: 3.0}, patchcore: {ratio: 0.1}}
presets: {quick: {padim: {dims: 10, sigma: 2.0}}, night: {padim: }}
"""


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("", {"dims": 10, "sigma": 3.0}),
        ("algorithms: {padim: {dims: 20}}", {"dims": 20, "sigma": 3.0}),
        ("algorithms: {padim: {preset: quick}}", {"dims": 10, "sigma": 2.0}),
        ("algorithms: {padim: {preset: paper}}", {}),
        ("algorithms: {padim: {preset: night, dims: 30}}", {"dims": 30}),
    ],
)
def test_presets_lie_below_what_is_said(root, text, parameters):
    (root / "params.yaml").write_text(PRESETS)
    product(root, text)
    assert algorithm_parameters(root, "nut", "padim") == parameters


def test_an_unknown_preset_is_helped(root):
    (root / "params.yaml").write_text(PRESETS)
    product(root, "algorithms: {padim: {preset: quik}}")
    with pytest.raises(SpecError, match=r"padim asks for the preset 'quik'; did you mean 'quick'"):
        algorithm_parameters(root, "nut", "padim")


def test_a_preset_that_says_nothing_of_an_algorithm_is_refused(root):
    (root / "params.yaml").write_text(PRESETS)
    product(root, "algorithms: {kdad: {preset: quick}}")
    with pytest.raises(SpecError, match=r"nut: kdad has no preset 'quick'; it has paper$"):
        algorithm_parameters(root, "nut", "kdad")
    more = PRESETS.replace("night:", "standard: {kdad: {lr: 0.1}}, night:")
    (root / "params.yaml").write_text(more)
    product(root, "algorithms: {kdad: {preset: night}}")
    with pytest.raises(SpecError, match=r"has no preset 'night'; it has paper, standard$"):
        algorithm_parameters(root, "nut", "kdad")


def test_a_preset_that_only_newer_workspaces_have_is_told_from_a_wrong_one(root):
    (root / "params.yaml").write_text(PRESETS)
    product(root, "algorithms: {padim: {preset: standard}}")
    with pytest.raises(SpecError) as error:
        algorithm_parameters(root, "nut", "padim")
    said = "nut: padim asks for the preset 'standard', which params.yaml of this workspace does not"
    assert str(error.value).startswith(said) and "copy presets.standard from" in str(error.value)


def test_a_preset_names_no_other(root):
    (root / "params.yaml").write_text("presets: {mine: {padim: {preset: quick, dims: 3}}}")
    with pytest.raises(SpecError, match=r"padim\.preset: a preset holds values, and names no"):
        read_params(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imge: {}", r"product\.yaml: unknown key 'imge'; did you mean 'image'\?"),
        ("image: {sise: 3}", r"unknown key 'image\.sise'; did you mean 'size'\?"),
        ("image: {size: 8}", r"image\.size\.0: input should be greater than or equal to 32, got 8"),
        ("image: {size: 64, tile: 128}", r"image\.tile is 128, but image\.size is only \[64, 64\]"),
        ("algorithms: [padin]", r"unknown algorithm 'padin'; did you mean 'padim'\?"),
        ("algorithms: {padim: {dim: 3}}", r"padim has no parameter 'dim'; did you mean 'dims'\?"),
        ("gates: {miss: 2}", r"gates\.miss: input should be less than or equal to 1, got 2"),
        ("- a\n- b", "must hold keys and values, not a list"),
        ("a: [", "is no valid YAML"),
        ("image: 3", "image: input should be a valid dictionary"),
    ],
)
def test_mistakes_name_file_key_and_remedy(root, text, message):
    with pytest.raises(SpecError, match=message):
        product(root, text)


def test_a_mistake_in_the_defaults_names_params_yaml(root):
    (root / "params.yaml").write_text("defaults: {thresold: {}}")
    with pytest.raises(SpecError, match=r"params\.yaml: unknown key 'defaults\.thresold'"):
        read_params(root)


def test_algorithms_are_known_without_importing_them():
    from ad_models import ALGORITHMS, config

    assert sorted(ALGORITHMS) == list(known_algorithms())
    for name, kind in ALGORITHMS.items():
        assert config_fields(name) == tuple(config(name).__dataclass_fields__)
        assert (
            per_product(name)
            == getattr(import_module(f"ad_models.algorithms.{name}"), kind).per_product
        )


SHARED = """
algorithms: {regad: {preset: quick, shots: 4, train_on: [nut]}}
presets: {quick: {regad: {epochs: 5, sigma: 2.0}}}
"""


def test_products_share_the_parameters_of_learning(root):
    (root / "params.yaml").write_text(SHARED)
    product(root, "algorithms: {regad: {shots: 8}}")
    assert shared_parameters(root, "regad") == {"epochs": 5}
    assert algorithm_parameters(root, "nut", "regad") == {"epochs": 5, "sigma": 2.0, "shots": 8}
    assert trained_on(root, "regad", ["bolt", "nut"]) == ["nut"]
    with pytest.raises(SpecError, match=r"regad.train_on: no product 'nut'; known: bolt"):
        trained_on(root, "regad", ["bolt"])


@pytest.mark.parametrize("mine", ["epochs: 9", "preset: quick", "train_on: [nut]"])
def test_a_product_cannot_learn_for_the_others(root, mine):
    (root / "params.yaml").write_text(SHARED)
    product(root, f"algorithms: {{regad: {{{mine}}}}}")
    with pytest.raises(
        SpecError, match=r"only shots, epsilon, sigma and image\.size can be a product's own"
    ):
        algorithm_parameters(root, "nut", "regad")


def test_only_shared_algorithms_are_trained_on_products(root):
    with pytest.raises(SpecError, match="padim has no parameter 'train_on'"):
        product(root, "algorithms: {padim: {train_on: [nut]}}")
