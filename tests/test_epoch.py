import pytest
import torch

from ad_models import Batch, Run, create
from ad_models.epoch import epoch
from ad_models.errors import ConfigError

BACKBONES = {  # heads on a frozen backbone, and small parameters for a pass
    "fastflow": {"steps": 1, "hidden": 0.05},
    "fcdd": {"backbone": "resnet18", "layer": "layer1", "frozen": "maxpool"},
    "kdad": {"layers": ("layer1", "layer2")},
    "msflow": {"blocks": (1, 1, 1)},
    "pni": {"hidden": 8, "depth": 2, "patches": 16, "expected": 16, "ratio": 0.2},
    "reconpatch": {"dims": 8, "ratio": 0.1},
    "regad": {"backbone": "resnet18", "shots": 1},
    "reverse_distillation": {"backbone": "resnet18"},
}


@pytest.mark.parametrize("batches", [1, 3, 7])
def test_an_epoch_has_its_batches_whatever_the_number_of_images(batches):
    loader = [Batch(torch.zeros(1, 3, 4, 4)) for _ in range(3)]
    given = list(epoch(loader, batches))
    assert len(given) == len(epoch(loader, batches)) == batches
    assert all(batch is loader[i % 3] for i, batch in enumerate(given))


def test_none_asked_for_is_one_pass_and_nothing_gives_nothing():
    loader = [Batch(torch.zeros(1, 3, 4, 4))]
    assert epoch(loader, 0) is loader
    assert list(epoch([], 5)) == []


@pytest.mark.parametrize(
    "name",
    ["anogan", "autoencoder", "cyclegan", "diffusionad", "riad", "vae", *BACKBONES],
)
def test_an_epoch_of_no_length(name):
    with pytest.raises(ConfigError, match="batches must be at least 1"):
        create(name, batches=-1)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_fit_takes_its_steps_whatever_the_number_of_images(name):
    for count in (2, 10):  # one batch, five
        images = torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        loader = [Batch(part, ["part"] * 2) for part in images.split(2)]
        more = {"backbone": "drawnet", "weights": "random"} | BACKBONES[name]
        run = Run()
        create(name, **more, epochs=2, batches=2).fit(loader, run, [loader[0]])
        assert sum(run.trained().values()) == 4
