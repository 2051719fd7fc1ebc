import pytest
import torch

from ad_models import create
from ad_models.errors import ConfigError
from tests.algorithms.painted import aurocs, batches


def small(**more):
    return create("anogan", **{"size": 16, "base": 8, "code": 6, "epochs": 1} | more)


@pytest.fixture
def lively():
    """Untrained, but the generator's drawings differ from each other."""
    model = small(steps=200, search_lr=0.05).eval()
    with torch.no_grad():
        for layer in model.generator.modules():
            if isinstance(layer, torch.nn.ConvTranspose2d):
                layer.weight.mul_(10)
    return model


def test_loss_against_its_definition():
    model = small(share=0.3).eval()
    images, drawn = torch.randn(2, 4, 3, 16, 16)
    with torch.no_grad():
        residual = (images - drawn).abs().sum((1, 2, 3))
        features = model.discriminator.trunk(images) - model.discriminator.trunk(drawn)
        expected = 0.7 * residual + 0.3 * features.abs().sum((1, 2, 3))
        torch.testing.assert_close(model.loss(images, drawn), expected)


def test_the_search_recovers_an_image_of_the_generator(lively):
    codes = 2 * torch.rand(5, 6) - 1
    with torch.no_grad():
        images = lively.generator(codes)
        start = lively.generator(lively.start.repeat(5, 1))
    found = lively.search(images)
    with torch.no_grad():
        again = lively.generator(found)
    before, after = ((images - x).abs().mean((1, 2, 3)) for x in (start, again))
    assert (after < before / 10).all()


def test_an_image_of_the_generator_scores_lower_than_any_other(lively):
    with torch.no_grad():
        drawn = lively.generator(2 * torch.rand(4, 6) - 1)
    noise = torch.rand(4, 3, 16, 16) * 2 - 1
    std, mean = torch.tensor([[0.229, 0.224, 0.225], [0.485, 0.456, 0.406]]).view(2, 3, 1, 1)
    lively.fitted.fill_(True)
    score = lively.predict(((torch.cat([drawn, noise]) + 1) / 2 - mean) / std).score
    assert score[:4].max() < score[4:].min() / 5


def test_verdicts_are_cross_entropies():
    model = small().eval()
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        p = torch.sigmoid(model.discriminator(images))
        assert float(model.judged(images, True)) == pytest.approx(float(-p.log().mean()))
        assert float(model.judged(images, False)) == pytest.approx(float(-(1 - p).log().mean()))


@pytest.mark.parametrize(("parameter", "value"), [("size", 40), ("steps", 0), ("share", 1.5)])
def test_wrong_parameters(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        small(**{parameter: value})


def test_solves_a_painted_defect():
    image, pixel = aurocs(small(code=8, epochs=60, steps=100, lr=1e-3).fit(batches()))
    assert image > 0.95 and pixel > 0.9
