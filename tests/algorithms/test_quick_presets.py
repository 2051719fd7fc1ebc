"""The quick presets of params.yaml, as they stand, on a product with one painted kind of defect."""

from pathlib import Path

import pytest
import yaml

from ad_models import config, create
from tests.algorithms.strokes import batches, found

PARAMS = Path(__file__).parents[2] / "params.yaml"
QUICK = yaml.safe_load(PARAMS.read_text())["presets"]["quick"]
NAMES = ["anogan", "autoencoder", "diffusionad", "favae", "fastflow", "fcdd", "ganomaly", "kdad"]
NAMES += ["msflow", "reverse_distillation", "vae"]  # not memories of random features


@pytest.mark.parametrize("name", sorted(QUICK))
def test_a_quick_preset_counts_steps_and_not_passes(name):
    chosen = config(name, **QUICK[name])
    assert not hasattr(chosen, "epochs") or chosen.batches > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_quick_preset_finds_painted_strokes(name):
    preset = dict(QUICK[name])
    if hasattr(config(name), "weights"):
        preset["weights"] = "random"
    at = found(create(name, **preset).fit(batches(64, 16)))
    assert at.image > 0.95 and at.pixel > 0.9
