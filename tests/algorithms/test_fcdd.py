import math

import pytest
import torch
from PIL import Image
from torch import nn

from ad_models import Batch, create
from ad_models.algorithms.fcdd import (
    Contrast,
    at_least_one,
    confetti,
    field,
    one_class,
    spread,
    varied,
)
from ad_models.errors import ConfigError
from ad_models.features import Pyramid
from tests.test_contract import SMALL, texture

TINY = SMALL["fcdd"] | {"backbone": "resnet18", "weights": "random"}


def detector(**more):
    return create("fcdd", **(TINY | more)).eval()


def test_distances_are_the_pseudo_huber_loss_of_the_answers():
    model, colours = detector(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        model.contrast.learn(colours)
        model.answer.weight.mul_(20)  # answers on both sides of 1
        answers = model.answer(model.trained(model.stem(model.contrast(colours))[0])).double()
        expected = (answers.square() + 1).sqrt() - 1
        torch.testing.assert_close(model.distances(colours), expected.float())
        nn.init.zeros_(model.answer.weight)
        nn.init.zeros_(model.answer.bias)
        assert model.distances(colours).abs().max() == 0


def test_the_loss_against_its_definition():
    distances = torch.rand(4, 1, 3, 3)
    outlier = torch.tensor([True, False, True, False])
    means = [float(d.mean()) for d in distances]
    expected = [
        -math.log(1 - math.exp(-m)) if out else m for m, out in zip(means, outlier, strict=True)
    ]
    assert one_class(distances, outlier).item() == pytest.approx(sum(expected) / 4, rel=1e-5)
    yes = torch.tensor([True])
    nothing = torch.zeros(1, 1, 3, 3)
    assert one_class(nothing, ~yes) == 0
    assert one_class(nothing, yes).isfinite()
    assert one_class(nothing + 50, yes) < one_class(nothing + 1, yes) < one_class(nothing, yes)


def test_a_spike_becomes_the_gaussian_of_its_receptive_field():
    spike = torch.zeros(1, 1, 28, 28, dtype=torch.float64)
    spike[0, 0, 10, 17] = 2.0
    side, step, first = 62, 8, -27
    maps = spread(spike, (224, 224), (side, step, first), 12.0)
    pixel = torch.arange(224, dtype=torch.float64)

    def bell(at):
        inside = (pixel >= 8 * at + first) & (pixel < 8 * at + first + side)
        return inside * torch.exp(-((pixel - (8 * at + 3.5)) ** 2) / (2 * 12.0**2))

    expected = torch.outer(bell(10), bell(17))
    expected *= 2 * step**2 / expected.sum()
    torch.testing.assert_close(maps[0, 0], expected)


def test_spreading_keeps_the_level_and_is_linear():
    flat = spread(torch.ones(1, 1, 40, 40), (320, 320), (62, 8, -27), 12.0)
    assert flat[..., 64:-64, 64:-64].sub(1).abs().max() < 0.02
    a, b = torch.rand(2, 1, 1, 8, 8)
    one, two, both = (spread(x, (60, 64), (62, 8, -27), 12.0) for x in (a, b, 2 * a + b))
    torch.testing.assert_close(both, 2 * one + two)
    assert one.shape == (1, 1, 60, 64)


def test_the_paper_s_receptive_field():
    with torch.device("meta"):  # shapes without numbers: VGG is large
        assert field(Pyramid("vgg11_bn", ("features.20",), "random")) == (62, 8, -27)


def test_the_receptive_field_is_what_a_position_depends_on():
    pyramid = Pyramid("resnet18", ("layer2",), "random")
    side, step, first = field(pyramid)
    assert (side, step) == (99, 8)
    pyramid.net.maxpool = nn.AvgPool2d(3, 2, 1)  # a maximum would show one way only
    images = torch.randn(2, 3, 160, 160, requires_grad=True)
    pyramid(images)[0][:, :, 9, 7].square().sum().backward()
    seen = images.grad.abs().sum((0, 1)) > 0
    for at, axis in ((9, 1), (7, 0)):
        found = seen.any(axis).nonzero().flatten()
        assert [int(found[0]), int(found[-1])] == [at * step + first, at * step + first + side - 1]


def test_contrast_frees_from_brightness_and_contrast():
    contrast, colours = Contrast(), torch.rand(4, 3, 16, 16)
    freed = contrast.freed(colours)
    torch.testing.assert_close(freed.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(freed.abs().mean((1, 2, 3)), torch.ones(4))
    torch.testing.assert_close(contrast.freed(0.3 * colours + 0.1), freed, atol=1e-4, rtol=0)
    for part in colours.split(2):
        contrast.learn(part)
    shown = contrast(colours).movedim(1, 0).flatten(1)
    torch.testing.assert_close(shown.amin(1), torch.zeros(3))
    torch.testing.assert_close(shown.amax(1), torch.ones(3))


@pytest.mark.parametrize(("level", "sign"), [(0.9, -1), (0.02, -1), (0.0, 1)])
def test_confetti_darkens_what_is_light_and_lightens_what_is_dark(level, sign):
    colours = torch.full((8, 3, 64, 64), level)
    change = confetti(colours) - colours
    assert (sign * change).amin() >= 0
    assert (change.abs().amax((1, 2, 3)) > min(0.025, 0.9 * level or 1)).all()
    assert change.abs().amin() < 1e-3  # it is local
    assert (confetti(colours) >= 0).all() and (confetti(colours) <= 1).all()


def test_blobs_are_counted_by_a_poisson_distribution_without_zero():
    torch.manual_seed(0)
    for rate in (0.6, 0.9):
        drawn = torch.tensor([at_least_one(rate) for _ in range(4000)])
        assert drawn.min() == 1
        mean = rate / (1 - math.exp(-rate))
        assert drawn.float().mean().item() == pytest.approx(mean, abs=0.04)


def test_light_changes_much_or_hardly_and_colours_stay_in_range():
    torch.manual_seed(0)
    images = torch.full((200, 3, 8, 8), 0.5)  # no noise shows: they are flat; nor does a crop
    changes = (varied(images) - images).abs().amax((1, 2, 3))
    assert 60 < (changes < 0.004).sum() < 140 and changes.max() < 0.04
    noisy = varied(torch.rand(20, 3, 16, 16).round())
    assert noisy.min() >= 0 and noisy.max() <= 1


def test_images_of_a_folder_are_the_outliers(tmp_path):
    Image.new("RGB", (20, 20), (255, 0, 0)).save(tmp_path / "red.png")
    model = detector(outliers=str(tmp_path), epochs=1)
    colours = torch.rand(40, 3, 64, 64) * 0.5
    from ad_models.synthetic import Textures

    shown, outlier = model.exposed(colours, Textures(str(tmp_path)))
    assert 5 < outlier.sum() < 35
    assert torch.equal(shown[~outlier], colours[~outlier])
    assert (shown[outlier][:, 0] == 1).all() and (shown[outlier][:, 1:] == 0).all()
    model.fit([Batch(texture(4, 0))])


@pytest.mark.parametrize("outliers", ["confetti", "perlin"])
def test_outliers_are_the_images_that_changed(outliers):
    colours = torch.rand(24, 3, 64, 64)
    shown, outlier = detector(outliers=outliers).exposed(colours, None)
    change = (shown - colours).abs().amax((1, 2, 3))
    assert (change[outlier] > 0.01).all() and (change[~outlier] < 1e-5).all()
    assert 3 < outlier.sum() < 21


def test_frozen_layers_never_move_and_the_others_do():
    model = detector(epochs=1)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    model.fit([Batch(texture(8, 0))])
    moved = {k for k, v in model.state_dict().items() if not torch.equal(before[k], v)}
    assert not any(k.startswith("stem.") for k in moved)
    assert any(k.startswith("trained.") for k in moved)


def test_the_trained_layers_lie_behind_the_frozen_ones():
    with pytest.raises(ConfigError, match="layer1 must lie behind frozen layer2"):
        detector(frozen="layer2")


@pytest.mark.parametrize(("parameter", "value"), [("share", 1.0), ("sigma", 0.0)])
def test_config_names_the_field(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        create("fcdd", **{parameter: value})
