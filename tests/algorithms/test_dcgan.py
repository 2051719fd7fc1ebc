"""Parts of the GANs: sizes, start values, and the gradient penalty against closed forms."""

import pytest
import torch

from ad_models.dcgan import Decoder, Encoder, gradient_penalty, widths
from ad_models.errors import ConfigError


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_encoder_ends_at_one_position_and_decoder_comes_back(size):
    codes = Encoder(size, 4, 7)(torch.randn(2, 3, size, size))
    assert codes.shape == (2, 7)
    images = Decoder(size, 4, 7)(codes)
    assert images.shape == (2, 3, size, size)
    assert images.abs().max() <= 1


def test_channels_double_down_to_four_pixels_and_stop_at_the_widest():
    assert widths(32, 64) == [64, 128, 256]
    assert widths(256, 64) == [64, 128, 256, 512, 512, 512]


@pytest.mark.parametrize("size", [8, 48, 100])
def test_sizes_that_do_not_halve_to_four(size):
    with pytest.raises(ConfigError, match="power of two"):
        widths(size, 64)


def test_start_values():
    net = Encoder(64, 32, 10)
    convolutions = torch.cat([m.weight.flatten() for m in net.modules() if hasattr(m, "stride")])
    assert float(convolutions.detach().std()) == pytest.approx(0.02, rel=0.02)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    scales = torch.cat([m.weight.detach() for m in norms])
    assert float(scales.mean()) == pytest.approx(1, abs=0.005)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.2)


@pytest.mark.parametrize(("length", "expected"), [(1.0, 0.0), (0.0, 1.0), (3.0, 4.0)])
def test_penalty_of_a_linear_critic_depends_on_its_slope_alone(length, expected):
    slope = torch.randn(3 * 8 * 8)
    slope = slope * (length / slope.norm())
    real, fake = torch.randn(2, 5, 3, 8, 8)
    penalty = gradient_penalty(lambda x: x.flatten(1) @ slope, real, fake)
    assert penalty.item() == pytest.approx(expected, abs=1e-5)


def test_penalty_of_a_quadratic_critic():
    real = torch.randn(6, 3, 4, 4)  # of half |x|^2 the gradient is x; real = fake fixes the point
    penalty = gradient_penalty(lambda x: x.square().flatten(1).sum(1) / 2, real, real)
    expected = (real.flatten(1).norm(dim=1) - 1).square().mean()
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-5)


def test_points_lie_between_the_pairs_with_one_share_a_pair():
    seen = []
    real, fake = torch.zeros(50, 3, 4, 4), torch.ones(50, 3, 4, 4)
    gradient_penalty(lambda x: (seen.append(x.detach()), x.sum((1, 2, 3)))[1], real, fake)
    shares = seen[0].flatten(1)
    assert (shares.amax(1) - shares.amin(1)).max() < 1e-6
    assert shares.min() >= 0 and shares.max() <= 1 and shares[:, 0].std() > 0.2


def test_the_penalty_can_be_descended():
    slope = torch.full((48,), 0.5, requires_grad=True)
    real, fake = torch.randn(2, 4, 3, 4, 4)
    gradient_penalty(lambda x: x.flatten(1) @ slope, real, fake).backward()
    length = slope.detach().norm()  # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    torch.testing.assert_close(slope.grad, 2 * (length - 1) * slope.detach() / length)
