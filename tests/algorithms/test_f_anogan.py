import pytest
import torch

from ad_models import Batch, Run, create
from ad_models.algorithms.f_anogan import Generator, LayerNorm, Trunk
from ad_models.errors import ConfigError
from tests.algorithms.painted import aurocs, batches


def small(**more):
    tiny = {"size": 16, "base": 4, "code": 6, "epochs": 1, "encoder_epochs": 1}
    return create("f_anogan", **tiny | more)


def state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def same(before, net):
    return all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_the_official_networks_have_their_size():
    with torch.device("meta"):
        nets = {
            "generator": Generator(64, 64, 128),
            "critic": Trunk(64, 64, 1, LayerNorm),
            "encoder": Trunk(64, 64, 128, torch.nn.BatchNorm2d),
        }
    millions = {k: sum(p.numel() for p in net.parameters()) / 1e6 for k, net in nets.items()}
    assert millions == pytest.approx({"generator": 8.5, "critic": 7.5, "encoder": 8.5}, abs=0.05)
    assert nets["critic"].last.in_features == 8192


@pytest.mark.parametrize("size", [16, 64])
def test_shapes(size):
    model = small(size=size).eval()
    images = model.draw(3)
    assert images.shape == (3, 3, size, size) and images.abs().max() <= 1
    assert model.critic(images).shape == (3, 1)
    assert model.encoder(images).shape == (3, 6)


def test_the_critic_sees_every_image_alone():
    critic = small().critic.train()
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(critic(images)[:1], critic(images[:1]))


def test_critic_loss_against_its_definition():
    model = small()
    slope = torch.randn(3 * 16 * 16)
    model.critic = torch.nn.Module()
    model.critic.forward = lambda x: 0.5 * x.flatten(1) @ slope
    real, fake = torch.randn(2, 5, 3, 16, 16)
    wasserstein = 0.5 * (fake.flatten(1).mean(0) - real.flatten(1).mean(0)) @ slope
    expected = wasserstein + 10 * (0.5 * slope.norm() - 1) ** 2
    assert model.critic_loss(real, fake).item() == pytest.approx(expected.item(), rel=1e-4)


def test_distance_against_its_definition():
    model = small(kappa=2.0).eval()
    images, drawn = torch.randn(2, 3, 3, 16, 16)
    with torch.no_grad():
        features = model.critic.features(images) - model.critic.features(drawn)
        expected = (images - drawn).flatten(1).pow(2).mean(1) + 2 * features.pow(2).mean(1)
        torch.testing.assert_close(model.distance(images, drawn), expected)
        assert float(model.distance(images, images).abs().max()) == 0


def test_the_generator_learns_once_in_five_steps_also_across_epochs():
    images = [Batch(torch.randn(4, 3, 16, 16)) for _ in range(2)]
    for epochs, moved in ((2, False), (3, True)):  # 4 and 6 steps of the critic
        model = small(epochs=epochs)
        before = {k: v.detach().clone() for k, v in model.generator.named_parameters()}
        model.learn_gan(images, Run())
        still = all(torch.equal(before[k], v) for k, v in model.generator.named_parameters())
        assert still is not moved
        assert int(model.turn) == 2 * epochs


def test_the_encoder_finds_codes_while_the_gan_stands_still():
    model = small(encoder_epochs=40, encoder_lr=2e-3)
    with torch.no_grad():
        for layer in model.generator.modules():  # untrained, it would draw everything grey
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.mul_(1.5)
        images = model.generator.eval()(torch.rand(16, 6) - 0.5)
    std, mean = torch.tensor([[0.229, 0.224, 0.225], [0.485, 0.456, 0.406]]).view(2, 3, 1, 1)
    batch = Batch(((images + 1) / 2 - mean) / std)

    def distance():
        model.eval()
        with torch.no_grad():
            return float(model.distance(*model.redraw(batch.image)).mean())

    before, generator, critic = distance(), state(model.generator), state(model.critic)
    model.train()
    model.learn_encoder([batch], Run())
    assert same(generator, model.generator) and same(critic, model.critic)
    assert distance() < before / 2


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("size", 40), ("critic_steps", 0), ("encoder_epochs", 0), ("score", "codes")],
)
def test_wrong_parameters(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        small(**{parameter: value})


@pytest.mark.slow  # six seconds; the tests of the contract find a square
def test_solves_a_painted_defect():
    more = {"base": 8, "code": 16, "epochs": 40, "encoder_epochs": 40}
    model = small(critic_steps=2, lr=1e-3, encoder_lr=1e-3, **more)
    image, pixel = aurocs(model.fit(batches()))
    assert image > 0.95 and pixel > 0.9


def test_the_start_is_the_official_code_s():
    """Standard deviations of the official tflib: sqrt(2 / (fan in + fan out)), of 3 x 3
    convolutions inside the blocks and at the generator's end sqrt(4 / (fan in + fan out))."""
    model = create("f_anogan", size=64, base=32, code=128)
    block = 9 * (64 + 64)
    expected = {
        "generator.start": 2 / (128 + 256 * 16),
        "generator.body.0.first": 4 / (9 * (256 + 256)),
        "generator.body.0.shortcut": 2 / (256 + 256),
        "generator.body.6": 4 / (9 * (32 + 3)),
        "critic.features.0": 2 / (9 * (3 + 32)),
        "critic.features.2.first": 4 / block,
        "critic.features.2.shortcut": 2 / (64 + 128),
        "critic.last": 2 / (256 * 16 + 1),
        "encoder.features.0": 2 / (9 * (3 + 32)),
        "encoder.last": 2 / (256 * 16 + 128),
    }
    for name, variance in expected.items():
        layer = model.get_submodule(name).requires_grad_(False)
        assert float(layer.weight.std()) == pytest.approx(variance**0.5, rel=0.06), name
        bound = (3 * variance) ** 0.5  # uniform
        assert 0.97 * bound < float(layer.weight.abs().max()) <= bound
        assert layer.bias is None or not layer.bias.any()


def test_the_map_s_score_is_its_largest_value():
    images = torch.randn(2, 3, 32, 32)
    model = small(score="map", sigma=2.0).eval()
    with torch.no_grad():
        score, maps = model(images)
    torch.testing.assert_close(score, maps.flatten(1).max(1).values)
