"""Parameters as people write them: what is wrong is named, what is right comes through."""

import pytest

from ad_models import ALGORITHMS, config
from ad_models.errors import ConfigError


@pytest.mark.parametrize("name", ALGORITHMS)
def test_defaults_are_valid(name):
    assert config(name) == config(name, **{"seed": 0})


def test_numbers_and_lists_come_through():
    padim = config("padim", layers=["layer1"], dims=5, sigma=0)
    assert (padim.layers, padim.dims, padim.sigma) == (("layer1",), 5, 0)
    assert config("patchcore", bank_size=None).bank_size is None


@pytest.mark.parametrize(
    ("name", "wrong", "says"),
    [
        ("padim", {"dims": "100"}, "padim.dims: .*integer, got '100'"),
        ("padim", {"dims": 1.5}, "padim.dims: "),
        ("padim", {"layers": "layer1"}, "padim.layers: .*tuple, got 'layer1'"),
        ("padim", {"layers": ["layer1", 2]}, "padim.layers: .*string, got 2"),
        ("patchcore", {"reweight": "no"}, "patchcore.reweight: .*boolean, got 'no'"),
        ("padim", {"sigma": -1.0}, "sigma must be at least 0, got -1.0"),
        ("reverse_distillation", {"epochs": -1}, "epochs must be at least 0, got -1"),
        ("reverse_distillation", {"lr": 0.0}, "lr must be above 0, got 0.0"),
        ("efficientad", {"enlarged": 0}, "enlarged must be at least 1, got 0"),
        ("autoencoder", {"width": 0}, "width must be at least 1, got 0"),
        ("patchcore", {"ratio": 2.0}, "^ratio must be above 0 and at most 1, got 2.0"),
        ("patchcore", {"reweight_neighbours": 1}, "reweight_neighbours must be at least 2, got 1"),
        ("patchcore", {"raito": 0.1}, "no parameter 'raito'; did you mean 'ratio'"),
    ],
)
def test_what_is_wrong_is_named(name, wrong, says):
    with pytest.raises(ConfigError, match=says):
        config(name, **wrong)
