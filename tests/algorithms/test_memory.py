"""Fits say what they will hold, wait on disk where memory is short, and refuse what cannot fit."""

from types import SimpleNamespace

import pytest
import torch

from ad_models import Batch, Run, budget, create
from ad_models.errors import InputError

IMAGES = [
    Batch(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(n))) for n in (0, 1)
]
SMALL = {"backbone": "resnet18", "weights": "random"}
TINY = {"backbone": "test_vit", "size": 64}
PARAMETERS = {
    "anomalydino": TINY | {"block": 0},
    "dinomaly": TINY | {"blocks": (0, 1), "steps": 1},
    "padim": {"dims": 20},
    "semi_orthogonal": {"dims": 20},
    "patchcore": {},
    "reconpatch": {"dims": 16, "epochs": 1},
    "simplenet": {"hidden": 16, "epochs": 1},
    "pni": {"window": 3, "neighbourhood": 3, "hidden": 16, "depth": 2, "epochs": 1},
    "cpr": {"layers": ["layer1", "layer2"], "channels": 8, "steps": 1, "batch": 2, "points": 10},
}


def small(name):
    return create(name, **SMALL | PARAMETERS[name])


@pytest.fixture
def memory(monkeypatch):
    """Say how many bytes are free."""

    def left(count):
        monkeypatch.setattr(budget, "_system", lambda root: count)
        monkeypatch.setattr(budget, "_groups", lambda root: iter(()))

    return left


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_fit_says_what_it_will_hold(name):
    told = []
    small(name).fit(IMAGES, Run(say=told.append))
    assert any("MB" in line for line in told), told


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_cannot_fit_is_refused_with_a_remedy(name, memory, monkeypatch):
    memory(1000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=0))
    with pytest.raises(InputError, match="smaller or in tiles"):
        small(name).fit(IMAGES)


@pytest.mark.parametrize("name", ["padim", "semi_orthogonal"])
def test_gaussians_that_do_not_fit_are_refused_with_dims_that_do(name, memory):
    memory(4 * 64 * 20**2)  # 8 x 8 positions
    images = [Batch(torch.randn(100, 3, 32, 32)) for _ in range(2)]
    detector = create(name, **SMALL, layers=["layer1"], dims=40)
    with pytest.raises(InputError, match="dims to at most 20"):
        detector.fit(images)


@pytest.mark.parametrize(("name", "dims"), [("simplenet", 384), ("reconpatch", 256)])
def test_features_that_wait_on_disk_are_the_same(name, dims, memory, tmp_path):
    kept = small(name).fit(IMAGES).predict(IMAGES[0].image)
    held = 8 * 64 * dims * 2  # images, patches, dimensions, bytes
    memory(2 * held - 2)
    told = []
    run = Run(checkpoint=tmp_path / "fit.pt", say=told.append)
    found = small(name).fit(IMAGES, run).predict(IMAGES[0].image)
    assert any(f"wait in {tmp_path}" in line for line in told), told
    torch.testing.assert_close(found.map, kept.map, rtol=0, atol=0)
    torch.testing.assert_close(found.score, kept.score, rtol=0, atol=0)


def test_support_images_of_regad_that_do_not_fit_are_refused(memory):
    detector = create("regad", weights="random", epochs=1, shots=2).fit(IMAGES)
    memory(1000)
    with pytest.raises(InputError, match="fewer shots"):
        detector.calibrate(IMAGES, Run())
