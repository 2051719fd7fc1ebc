import pytest
import torch

from ad_models import Batch, create
from ad_models.epoch import epoch
from ad_models.errors import ConfigError


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
    "name", ["anogan", "autoencoder", "cyclegan", "diffusionad", "riad", "vae"]
)
def test_an_epoch_of_no_length(name):
    with pytest.raises(ConfigError, match="batches must be at least 1"):
        create(name, batches=-1)
