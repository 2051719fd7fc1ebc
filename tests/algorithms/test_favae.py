import pytest
import torch

from ad_models import Batch, create
from ad_models.errors import ConfigError
from ad_models.pixels import unit
from tests.algorithms.strokes import batches, discs, found

SMALL = {
    "backbone": "resnet18",
    "layers": ("layer1", "layer2"),
    "weights": "random",
    "side": 64,
    "code": 16,
    "width": 16,
    "sigma": 1.0,
    "batches": 4,
}


def detector(**more):
    return create("favae", **SMALL | more)


def test_painted_strokes_are_found():
    at = found(detector(epochs=12).fit(batches()))
    assert at.image > 0.95 and at.pixel > 0.9


def test_the_papers_layers_stand_beside_maps_of_their_size():
    model = create("favae", weights="random", width=8).eval()
    assert model.pyramid.channels == [128, 256, 512]
    with torch.no_grad():
        pairs = model.spaces(torch.randn(1, 3, 128, 128), torch.randn(1, 100, 1, 1))
    shapes = [(x.shape, rebuilt.shape) for x, rebuilt in pairs]
    sizes = [(3, 128, 128), (128, 64, 64), (256, 32, 32), (512, 16, 16)]
    assert shapes == [((1, *size), (1, *size)) for size in sizes]


def test_the_networks_have_the_size_of_the_re_implementation():
    model = create("favae", weights="random")
    parts = (model.encoder, model.decoder, model.adapters)
    count = sum(p.numel() for part in parts for p in part.parameters())
    assert count / 1e6 == pytest.approx(20.3, abs=0.05)


def test_the_backbone_never_moves():
    model = detector(epochs=1)
    before = {k: v.clone() for k, v in model.pyramid.state_dict().items()}
    model.fit(batches(8))
    assert all(torch.equal(before[k], v) for k, v in model.pyramid.state_dict().items())
    assert all(p.grad is None for p in model.pyramid.parameters())


def test_every_space_counts_by_what_is_usual_for_it():
    images = discs(8, 0)
    model = detector(epochs=2).fit([Batch(images)])
    with torch.no_grad():
        errors = model.residuals(images)
        torch.testing.assert_close(model.usual, torch.stack([e.mean() for e in errors]))
        pixels = (unit(images) - model.decoder(model.encoder(images)[:, :16])[0]).square().mean(1)
        torch.testing.assert_close(errors[0][:, 0], pixels)
        assert model.residual(images).mean().item() == pytest.approx(3, rel=1e-4)  # of 3 spaces


def test_patches_of_images_larger_than_the_crop():
    model = detector(epochs=1, stride=32).fit([Batch(discs(4, 0, 96))])
    images = discs(2, 1, 96)
    with torch.no_grad():
        corner = model.residual(images[..., :64, :64])
    model.config = type(model.config)(**SMALL | {"stride": 32, "sigma": 0.0})
    maps = model.predict(images).map
    torch.testing.assert_close(maps[..., :32, :32], corner[..., :32, :32])  # only one patch there


def test_layers_that_fit_no_map_of_the_decoder():
    with pytest.raises(ConfigError, match="layers: layer3 of resnet18 has 4 positions a side"):
        detector(layers=("layer3",))


@pytest.mark.parametrize("wrong", [{"code": 0}, {"width": 2}, {"layers": ()}, {"side": 100}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("favae", **wrong)
