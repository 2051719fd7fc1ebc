"""The quick presets of params.yaml, as they stand, on a product with one painted kind of defect."""

from pathlib import Path

import pytest
import yaml

from ad_models import config, create
from tests.algorithms.strokes import batches, found

PARAMS = Path(__file__).parents[2] / "params.yaml"
NAMES = ["anogan", "autoencoder", "cyclegan", "denoising_autoencoder", "diffusionad", "favae"]
NAMES += ["f_anogan", "ganomaly", "riad", "vae"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_quick_preset_finds_painted_strokes(name):
    preset = yaml.safe_load(PARAMS.read_text())["presets"]["quick"][name]
    if hasattr(config(name), "weights"):
        preset["weights"] = "random"
    at = found(create(name, **preset).fit(batches(64, 16)))
    assert at.image > 0.95 and at.pixel > 0.9
