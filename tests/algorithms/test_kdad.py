import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ad_models import Batch, create
from ad_models.algorithms.kdad import guided
from ad_models.errors import ConfigError, InputError
from tests import test_contract
from tests.test_contract import SMALL, texture

TINY = SMALL["kdad"] | {"backbone": "resnet18", "weights": "random"}


def detector(**more):
    return create("kdad", **(TINY | more)).eval()


@pytest.fixture(scope="module")
def paper():
    """The paper's networks as shapes without numbers: VGG-16 is large."""
    with torch.device("meta"):
        return create("kdad", weights="random").eval()


@pytest.mark.parametrize("side", [128, 224])
def test_the_paper_s_cloner_mirrors_vgg16(paper, side):
    pairs = paper.compare(torch.rand(1, 3, side, side, device="meta"))
    assert [s.shape[1] for s, _ in pairs] == [128, 256, 512, 512]
    assert [s.shape[-1] for s, _ in pairs] == [side // n for n in (4, 8, 16, 32)]


def test_the_paper_s_cloner_has_the_paper_s_layers(paper):
    def told(layer):
        if isinstance(layer, nn.Conv2d):
            assert layer.bias is None and layer.kernel_size == (3, 3)
            return layer.out_channels
        return {nn.BatchNorm2d: "B", nn.ReLU: "R", nn.MaxPool2d: "M"}[type(layer)]

    found = [told(layer) for part in paper.cloner.parts for layer in part]
    expected = []
    for stage in ((16, 16), (16, 128), (16, 16, 256), (16, 16, 512), (16, 16, 512)):
        for channels in stage[:-1]:
            expected += [channels, "B", "R"]
        expected += [stage[-1], "R", "M"]
    assert found == expected


@pytest.mark.parametrize("localisation", ["gradient", "smooth", "guided", "features"])
def test_a_cloner_that_agrees_has_score_zero_and_an_empty_map(localisation):
    model = detector(localisation=localisation, copies=2)
    model.cloner = model.teacher
    model.fitted.fill_(True)
    score, maps = model.predict(texture(2, 0))
    assert score.abs().max() == 0 and maps.abs().max() == 0


def test_the_disagreement_against_its_definition():
    a, b = torch.rand(3, 5, 4, 6), torch.rand(3, 5, 4, 6)
    found = detector(value=0.5).parting(a, b).sum((1, 2))
    cosine = F.cosine_similarity(a.flatten(1), b.flatten(1))
    torch.testing.assert_close(found, 1 - cosine + 0.5 * (a - b).square().mean((1, 2, 3)))
    only_direction = detector(value=0.0).parting(a, 3 * a)
    assert only_direction.max() < 1e-6 < detector().parting(a, 3 * a).min()


def test_the_first_critical_layer_is_not_scored():
    model = detector()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        whole = sum(model.parting(*pair).sum((1, 2)) for pair in model.compare(images))
        first = model.parting(*model.compare(images)[0]).sum((1, 2))
        torch.testing.assert_close(model.score(images), whole - first)


def test_the_gradient_against_finite_differences():
    model = detector(localisation="gradient").double()
    images = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    found, step = model.gradient(images), 1e-6
    for at in ((0, 0, 10, 20), (0, 1, 33, 5), (0, 2, 63, 63)):
        change = torch.zeros_like(images)
        change[at] = step
        with torch.no_grad():
            slope = (model.score(images + change) - model.score(images - change)) / (2 * step)
        assert found[at].item() == pytest.approx(slope.item(), rel=1e-3, abs=1e-9)


def test_guided_relus_pass_only_positive_gradients_and_only_inside():
    first, last = nn.Linear(5, 8), nn.Linear(8, 1)
    net = nn.Sequential(first, nn.ReLU(), last)
    x = torch.randn(5, requires_grad=True)
    active = (first(x) > 0).float()
    with guided(net):
        inside = torch.autograd.grad(net(x).sum(), x)[0]
    outside = torch.autograd.grad(net(x).sum(), x)[0]
    torch.testing.assert_close(inside, (active * last.weight[0].clamp_min(0)) @ first.weight)
    torch.testing.assert_close(outside, (active * last.weight[0]) @ first.weight)


class ByHand(torch.autograd.Function):
    """Guided backpropagation as Springenberg et al. define it, without any hook."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x > 0)
        return x.clamp_min(0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0] * (gradient > 0)


def test_the_guided_gradient_against_relus_that_are_guided_by_hand():
    by_hook, plain, by_hand = (
        detector(localisation=how).double() for how in ("guided", "gradient", "gradient")
    )
    for model in (plain, by_hand):
        model.load_state_dict(by_hook.state_dict())
    relus = [layer for layer in by_hand.cloner.modules() if isinstance(layer, nn.ReLU)]
    for relu in relus:
        relu.forward = ByHand.apply
    assert len(relus) > 5
    images = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    expected = by_hand.gradient(images)
    torch.testing.assert_close(by_hook.gradient(images), expected, rtol=1e-9, atol=1e-15)
    assert (expected - plain.gradient(images)).abs().max() > 0.1 * expected.abs().max()


def test_without_noise_smooth_is_the_gradient():
    images = torch.rand(2, 3, 64, 64)
    one = detector(localisation="gradient").saliency(images)[1]
    torch.testing.assert_close(
        detector(localisation="smooth", noise=0.0, copies=2).saliency(images)[1], one
    )
    noisy = detector(localisation="smooth", copies=2).saliency(images)[1]
    assert not torch.allclose(noisy, one, rtol=0.01)


def test_the_noise_of_smooth_follows_the_range_of_the_image(monkeypatch):
    model = detector(localisation="smooth", copies=3, noise=0.5)
    images = torch.rand(2, 3, 64, 64)
    images[1] *= 0.8
    seen = []
    monkeypatch.setattr(model, "gradient", lambda x: seen.append(x - images) or x)
    model.saliency(images)
    found = torch.stack(seen).std((0, 2, 3, 4))
    ranges = [float(image.max() - image.min()) for image in images]
    torch.testing.assert_close(
        found, torch.tensor([(0.5 / r) ** 2 for r in ranges]), rtol=0.02, atol=0
    )


def test_the_largest_gradients_are_clipped():
    _, maps = detector(clip=0.75, sigma=0.0).saliency(torch.rand(2, 3, 64, 64))
    at_limit = maps == maps.amax((1, 2, 3), keepdim=True)
    assert at_limit.float().mean((1, 2, 3)).tolist() == pytest.approx([0.25] * 2, abs=0.01)


def test_the_feature_map_can_be_exported(tmp_path):
    model = detector(localisation="features", epochs=1)
    assert not model.no_export
    test_contract.test_export_equals_predict("kdad", model.fit([Batch(texture(4, 0))]), tmp_path)


def test_the_teacher_never_moves():
    model = detector(epochs=1)
    before = {k: v.clone() for k, v in model.teacher.state_dict().items()}
    model.fit([Batch(texture(4, 0))])
    assert all(torch.equal(before[k], v) for k, v in model.teacher.state_dict().items())


def test_sides_that_the_backbone_rounds_up():
    with pytest.raises(InputError, match="multiples of"):
        detector().compare(torch.rand(1, 3, 72, 72))


@pytest.mark.parametrize(
    ("parameter", "value"), [("localisation", "nowhere"), ("layers", ("layer1",)), ("clip", 0.0)]
)
def test_config_names_the_field(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        create("kdad", **{parameter: value})
