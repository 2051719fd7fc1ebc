import pytest
import torch
from torch import nn

from ad_models import create
from ad_models.algorithms.cyclegan import Pool, discriminator, generator, verdict
from ad_models.errors import ConfigError
from ad_models.synthetic import Textures
from tests.algorithms.painted import aurocs, batches


def small(**more):
    tiny = {"size": 32, "base": 4, "blocks": 1, "epochs": 1, "decay_epochs": 1, "pool": 4}
    return create("cyclegan", **tiny | more)


def test_the_paper_s_networks_have_their_size():
    with torch.device("meta"):
        nets = {"generator": generator(64, 9), "discriminator": discriminator(64)}
    count = {k: sum(p.numel() for p in net.parameters()) for k, net in nets.items()}
    assert count == {"generator": 11_378_179, "discriminator": 2_764_737}


def test_a_verdict_is_on_patches_of_70_pixels():
    net = discriminator(2)
    plain = nn.Sequential(*(m for m in net if not isinstance(m, nn.InstanceNorm2d)))
    image = torch.randn(1, 3, 128, 128, requires_grad=True)
    out = plain(image)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    rows, columns = image.grad.abs().sum((0, 1)).nonzero().T
    assert rows.max() - rows.min() + 1 == 70 == columns.max() - columns.min() + 1


@pytest.mark.parametrize("size", [(32, 32), (64, 48)])
def test_a_generator_keeps_the_shape(size):
    out = generator(4, 1)(torch.randn(2, 3, *size))
    assert out.shape == (2, 3, *size) and out.abs().max() <= 1


def numbered(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)


def test_the_pool_fills_first_then_gives_back_half_from_the_past():
    pool = Pool(3, 2)
    first = numbered(1, 2, 3)
    assert torch.equal(pool(first), first) and torch.equal(pool.images, first)
    torch.manual_seed(0)
    new, old = 0, 0
    for value in range(4, 404):
        before = pool.images.clone()
        out = pool(numbered(value))
        if float(out.mean()) == value:
            new += 1
            assert torch.equal(pool.images, before)
        else:
            old += 1
            assert float(out.mean()) in before[:, 0, 0, 0].tolist()
            assert value in pool.images[:, 0, 0, 0].tolist()
    assert 160 < old < 240 and new + old == 400


def test_least_squares_verdicts():
    images = torch.randn(2, 3, 8, 8)
    assert float(verdict(nn.Identity(), images, True)) == pytest.approx(
        float((images - 1).pow(2).mean()), rel=1e-5
    )
    assert float(verdict(nn.Identity(), images, False)) == pytest.approx(
        float(images.pow(2).mean()), rel=1e-5
    )


class Add(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x):
        return x + self.value


def test_generator_loss_against_its_definition():
    model = small(cycle=7.0, identity=0.25)
    model.heal, model.spoil = Add(-0.5), Add(0.2)
    judges = nn.ModuleDict({"normal": Add(0.0), "spoiled": Add(1.0)})
    normal, spoiled = torch.randn(2, 2, 3, 8, 8)
    loss = model.generator_loss(judges, normal, spoiled, spoiled - 0.5, normal + 0.2)
    fooled = (spoiled - 1.5).pow(2).mean() + (normal + 0.2).pow(2).mean()
    cycle = 0.3 + 0.3  # there and back again adds 0.2 - 0.5
    same = 0.5 + 0.2
    assert float(loss) == pytest.approx(float(fooled) + 7 * cycle + 7 * 0.25 * same, rel=1e-5)


def test_the_rate_is_constant_then_falls_towards_zero():
    model = create("cyclegan", base=4, blocks=1)
    rates = [model.rate(epoch) for epoch in range(200)]
    assert set(rates[:100]) == {2e-4}
    assert rates[100] == pytest.approx(2e-4 * 100 / 101)
    assert rates[199] == pytest.approx(2e-4 / 101)


def test_pairs_are_normal_images_and_others_with_defects():
    torch.manual_seed(0)
    values = torch.linspace(-1, 1, 6).view(-1, 1, 1, 1)
    normal, spoiled = small().pair(values.expand(-1, 3, 32, 32), Textures())
    assert normal.shape == spoiled.shape == (6, 3, 32, 32)
    assert normal.abs().max() <= 1 and spoiled.abs().max() <= 1
    background = spoiled.flatten(2).median(dim=2).values[:, 0]
    assert not torch.allclose(background, normal[:, 0, 0, 0], atol=1e-3)  # in another order
    torch.testing.assert_close(background.sort().values, normal[:, 0, 0, 0], atol=1e-4, rtol=1e-4)
    assert ((spoiled - spoiled.flatten(2).median(dim=2).values[..., None, None]).abs() > 0.05).any()


def test_map_is_what_the_healer_changed():
    model = small(sigma=0).eval()
    model.heal = Add(0.25)
    score, maps = model(torch.randn(2, 3, 32, 32) * 0.2)
    torch.testing.assert_close(maps, torch.full((2, 1, 32, 32), 0.25))
    torch.testing.assert_close(score, torch.full((2,), 0.25))


@pytest.mark.parametrize(("parameter", "value"), [("size", 30), ("blocks", 0), ("pool", 0)])
def test_wrong_parameters(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        small(**{parameter: value})


@pytest.mark.slow
def test_solves_a_painted_defect():
    model = small(base=8, blocks=2, epochs=20, decay_epochs=10, pool=50, lr=1e-3, sigma=1.0)
    image, pixel = aurocs(model.fit(batches()))
    assert image > 0.95 and pixel > 0.9
