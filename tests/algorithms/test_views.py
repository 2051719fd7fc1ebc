"""Patches, similarity maps and the convolutional halves, against independent formulas."""

import kornia
import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from ad_models import create
from ad_models.convnets import decoder, encoder
from ad_models.errors import ConfigError, InputError
from ad_models.similarity import EDGE, gms, multiscale_gms, ssim
from ad_models.views import assemble, check_views, draw, inspect


@pytest.mark.parametrize("stride", [30, 7, 64])
def test_patches_of_an_identity_are_the_image_itself(stride):
    images = torch.rand(3, 1, 131, 90)  # no multiple of anything
    torch.testing.assert_close(assemble(lambda x: x, images, 64, stride), images)


def test_where_patches_overlap_their_mean_counts():
    # two patches of 32 side by side, 16 apart: each writes its own left edge's brightness
    images = torch.arange(48.0).expand(1, 1, 32, 48)
    maps = assemble(lambda x: x[..., :1].expand_as(x), images, 32, 16)
    expected = torch.tensor([0.0] * 16 + [8.0] * 16 + [16.0] * 16)
    torch.testing.assert_close(maps[0, 0, 5], expected)


@pytest.mark.parametrize("stride", [None, 16, 20])
def test_the_highest_score_of_its_views_is_the_score_of_an_image(stride):
    images = torch.rand(3, 1, 50, 70)

    def seen(views):
        return views.flatten(1).amax(1), views

    score, maps = inspect(seen, images, 32, stride)
    whole = assemble(lambda x: x, images, 32, stride)
    torch.testing.assert_close(maps, whole)
    # every pixel lies in a patch; a whole image is seen as it is resized
    expected = images if stride else draw(images, 32, None)
    assert torch.equal(score, expected.flatten(1).amax(1))


@pytest.mark.parametrize("name", ["anogan", "f_anogan", "ganomaly"])
def test_a_gan_sees_patches_where_a_stride_is_given(name):
    more = {"code": 4, "base": 4, "size": 16, "stride": 12}
    more |= {"steps": 2} if name == "anogan" else {}
    model = create(name, **more).eval()
    model.fitted.fill_(True)
    images = torch.randn(2, 3, 40, 28)
    found = model.predict(images)
    patch = model.predict(images[:, :, 12:28, 12:28])  # one of the patches, alone
    assert found.map.shape == (2, 1, 40, 28)
    assert (found.score >= patch.score - 1e-6).all()
    # the only patch that covers the corner gives its map there
    corner = model.predict(images[:, :, :16, :16])
    torch.testing.assert_close(found.map[:, :, :12, :12], corner.map[:, :, :12, :12])
    assert model.reconstruction(images).shape == images.shape
    with pytest.raises(ConfigError, match="stride must be 1 to side"):
        create(name, size=16, stride=17)


def test_whole_images_are_resized_and_maps_come_back_at_their_size():
    images = torch.rand(2, 3, 40, 72)
    seen = []

    def residual(views):
        seen.append(views.shape)
        return views[:, :1]

    assert assemble(residual, images, 32, None).shape == (2, 1, 40, 72)
    assert seen == [(2, 3, 32, 32)]
    same = torch.rand(2, 3, 32, 32)
    assert draw(same, 32, None) is same


def test_drawn_patches_are_windows_of_their_own_image():
    images = torch.arange(2 * 3 * 50 * 40.0).view(2, 3, 50, 40)
    torch.manual_seed(0)
    for image, patch in zip(images, draw(images, 32, 1), strict=True):
        windows = image.unfold(1, 32, 1).unfold(2, 32, 1)  # (3, rows, columns, 32, 32)
        same = (windows == patch[:, None, None]).all(dim=(0, 3, 4))
        assert same.sum() == 1


def test_views_that_cannot_be():
    with pytest.raises(InputError, match="64 pixels do not fit images of 63 x 80"):
        draw(torch.zeros(1, 3, 63, 80), 64, 10)
    with pytest.raises(InputError, match="do not fit"):
        assemble(lambda x: x, torch.zeros(1, 3, 63, 80), 64, 10)
    with pytest.raises(ConfigError, match="side must be a power of two"):
        check_views(100, None)
    with pytest.raises(ConfigError, match="stride must be 1 to side"):
        check_views(64, 65)


def test_ssim_of_equal_images_is_one_everywhere():
    x = torch.rand(2, 3, 24, 20)
    torch.testing.assert_close(ssim(x, x), torch.ones_like(x))


@pytest.mark.parametrize("shape", [(32, 20), (11, 64)])
def test_ssim_equals_kornia_s(shape):
    x, y = torch.rand(2, 3, 3, *shape, dtype=torch.float64)
    expected = kornia.metrics.ssim(x, y, 11, max_val=1.0, eps=0.0)
    torch.testing.assert_close(ssim(x, y), expected)


def test_ssim_of_constant_images_has_a_closed_form():
    a, b = 0.2, 0.7
    x, y = torch.full((1, 1, 20, 20), a), torch.full((1, 1, 20, 20), b)
    expected = (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)
    torch.testing.assert_close(ssim(x, y), torch.full_like(x, expected), atol=1e-3, rtol=0)


def test_ssim_equals_weighted_moments_of_the_window():
    x, y = torch.rand(2, 1, 1, 21, 21, dtype=torch.float64)
    at = np.arange(-5, 6)
    line = np.exp(-(at**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    p, q = x[0, 0, 4:15, 6:17].numpy(), y[0, 0, 4:15, 6:17].numpy()  # around (9, 11)
    mp, mq = (weights * p).sum(), (weights * q).sum()
    vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
    both = (weights * (p - mp) * (q - mq)).sum()
    c1, c2 = 0.01**2, 0.03**2
    expected = (2 * mp * mq + c1) * (2 * both + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
    assert float(ssim(x, y)[0, 0, 9, 11]) == pytest.approx(expected, rel=1e-9)


def test_gms_equals_prewitt_by_scipy():
    x, y = torch.rand(2, 1, 3, 17, 23, dtype=torch.float64)
    kernel = np.array([[1, 0, -1]] * 3) / 3

    def gradient(image):
        grey = image[0].numpy().mean(0)
        parts = [correlate(grey, k, mode="mirror") for k in (kernel, kernel.T)]
        return np.hypot(*parts)

    a, b = gradient(x), gradient(y)
    expected = (2 * a * b + EDGE) / (a**2 + b**2 + EDGE)
    np.testing.assert_allclose(gms(x, y)[0, 0].numpy(), expected, atol=1e-6)


def test_gms_of_equal_images_is_one_and_light_does_not_matter():
    x, y = torch.rand(2, 2, 3, 32, 32)
    assert torch.equal(gms(x, x), torch.ones(2, 1, 32, 32))
    torch.testing.assert_close(gms(x, y), gms(y, x))
    torch.testing.assert_close(gms(x, y + 0.25), gms(x, y))
    assert gms(x, y).min() > 0 and gms(x, y).max() <= 1 + 1e-6


def test_gms_can_be_learnt_from_where_an_image_is_flat():
    x = torch.zeros(1, 3, 16, 16, requires_grad=True)
    torch.stack([m.mean() for m in multiscale_gms(x, torch.rand(1, 3, 16, 16), 2)]).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


@pytest.mark.parametrize("side", [32, 64, 128, 256])
def test_a_decoder_undoes_the_sizes_of_its_encoder(side):
    images = torch.rand(2, 3, side, side)
    code = encoder(side, 7, width=4)(images)
    assert code.shape == (2, 7, 1, 1)
    assert decoder(side, 7, width=4)(code).shape == images.shape


@pytest.mark.parametrize(("code", "millions"), [(100, 1.05), (500, 2.69)])
def test_the_papers_network_has_the_papers_size(code, millions):
    halves = (encoder(128, code), decoder(128, code))
    count = sum(p.numel() for half in halves for p in half.parameters())
    assert count / 1e6 == pytest.approx(millions, abs=0.005)
