"""What convolutions see beyond the border."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ad_models import create
from ad_models.borders import Doubling
from ad_models.convnets import decoder, encoder
from ad_models.errors import ConfigError
from ad_models.unet import UNet


def test_with_zeros_a_doubling_is_torchs_transposed_convolution():
    torch.manual_seed(0)
    layer, x = Doubling(3, 5, "zeros"), torch.randn(2, 3, 4, 6)
    plain = nn.ConvTranspose2d(3, 5, 4, 2, 1)
    plain.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), plain(x))


@pytest.mark.parametrize("shape", [(1, 1), (4, 6)])
def test_a_doubling_that_repeats_the_edge_is_cut_out_of_a_larger_map(shape):
    torch.manual_seed(0)
    layer, x = Doubling(3, 5, "replicate"), torch.randn(2, 3, *shape)
    much = F.pad(x, (3, 3, 3, 3), mode="replicate")
    larger = F.conv_transpose2d(much, layer.weight, layer.bias, stride=2, padding=1)
    torch.testing.assert_close(layer(x), larger[..., 6:-6, 6:-6])


@pytest.mark.parametrize(("padding", "flat"), [("replicate", True), ("zeros", False)])
def test_a_flat_image_stays_flat_up_to_its_border(padding, flat):
    torch.manual_seed(0)
    image = torch.full((1, 3, 32, 32), 0.6)
    unet = UNet((4, 8, 8, 8, 8, 8), padding=padding).eval()  # down to a single position
    coder = nn.Sequential(*list(encoder(64, 6, 4, padding))[:-1])  # up to its code
    with torch.no_grad():
        for made in (unet(image), coder(F.interpolate(image, size=64))):
            spread = (made.amax((2, 3)) - made.amin((2, 3))).max() / made.abs().max()
            assert (spread < 1e-4) == flat


def test_the_padding_changes_no_weight():
    for make in (lambda p: UNet((4, 8), padding=p), lambda p: decoder(64, 6, 4, p)):
        torch.manual_seed(0)
        zeros = make("zeros").state_dict()
        torch.manual_seed(0)
        again = make("replicate").state_dict()
        assert all(torch.equal(zeros[name], again[name]) for name in again)
        assert zeros.keys() == again.keys()


@pytest.mark.parametrize("name", ["autoencoder", "denoising_autoencoder", "riad", "vae"])
def test_an_unknown_padding(name):
    with pytest.raises(ConfigError, match="padding must be one of zeros, replicate"):
        create(name, padding="reflekt")
