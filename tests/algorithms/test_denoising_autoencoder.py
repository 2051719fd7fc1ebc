import pytest
import torch

from ad_models import Batch, create
from ad_models.algorithms.denoising_autoencoder import coarse_noise
from ad_models.errors import ConfigError, InputError
from ad_models.pixels import unit
from tests.algorithms.strokes import batches, discs, found

SMALL = {"widths": (8, 16, 32, 64), "lr": 5e-3, "sigma": 1.0, "batches": 4}


def test_painted_strokes_are_found():
    at = found(create("denoising_autoencoder", **SMALL, epochs=15).fit(batches()))
    assert at.image > 0.95 and at.pixel > 0.9


def test_noise_drawn_at_every_pixel_is_white():
    torch.manual_seed(0)
    images = torch.zeros(8, 3, 64, 64)
    noise = coarse_noise(images, 64, 0.2)
    assert noise.std().item() == pytest.approx(0.2, rel=0.02)
    assert (
        abs(
            torch.corrcoef(torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()]))[0, 1]
        )
        < 0.02
    )


def test_coarse_noise_comes_in_blotches():
    torch.manual_seed(0)
    noise = coarse_noise(torch.zeros(8, 3, 128, 128), 16, 0.2)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    near = torch.corrcoef(torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()]))[0, 1]
    far = torch.corrcoef(torch.stack([noise[..., 20:].flatten(), noise[..., :-20].flatten()]))[0, 1]
    assert near > 0.9 and abs(far) < 0.1


def test_the_target_is_the_clean_image(monkeypatch):
    images = discs(4, 0)
    model = create("denoising_autoencoder", **SMALL, epochs=1)
    seen = []
    monkeypatch.setattr(model, "clean", lambda noisy: seen.append(noisy) or model.net(noisy))
    model.fit([Batch(images)])
    added = seen[0] - unit(images)
    again = model.predict(images)
    assert 0.05 < added.std() < 0.2
    torch.testing.assert_close(seen[-1], unit(images))  # no noise on what is inspected
    assert torch.equal(again.map, model.predict(images).map)


def test_sides_must_be_multiples():
    with pytest.raises(InputError, match="multiples of 8"):
        create("denoising_autoencoder", **SMALL, epochs=1).fit([Batch(discs(2, 0, 66))])


@pytest.mark.parametrize("wrong", [{"noise": 0}, {"grid": 1}, {"epochs": 0}, {"widths": (8,)}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("denoising_autoencoder", **wrong)
