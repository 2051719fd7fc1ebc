import math

import pytest
import torch

from ad_models import Batch, create
from ad_models.algorithms import ganomaly
from ad_models.errors import ConfigError
from tests.algorithms.painted import aurocs, batches


def small(**more):
    return create("ganomaly", **{"base": 8, "code": 10, "epochs": 1} | more)


def test_the_paper_s_networks_have_their_size():
    model = create("ganomaly")
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in model.named_children()}
    assert count["encoder"] + count["decoder"] + count["second"] == 3_206_528
    assert count["discriminator"] == 663_296


def test_losses_against_their_definitions():
    model = small(adversarial=2.0, contextual=30.0, latent=3.0).eval()
    images, drawn = torch.randn(2, 4, 3, 32, 32)
    codes, again = torch.randn(2, 4, 10)
    with torch.no_grad():
        features = [model.discriminator.trunk(x) for x in (images, drawn)]
        expected = 2 * (features[0] - features[1]).pow(2).mean()
        expected += 30 * (images - drawn).abs().mean() + 3 * (codes - again).pow(2).mean()
        assert float(model.generator_loss(images, drawn, codes, again)) == pytest.approx(
            float(expected), rel=1e-5
        )
        right = torch.sigmoid(model.discriminator(images)).log().mean()
        wrong = (1 - torch.sigmoid(model.discriminator(drawn))).log().mean()
        assert float(model.discriminator_loss(images, drawn)) == pytest.approx(
            -float(right + wrong) / 2, rel=1e-4
        )


def test_a_perfect_drawing_costs_nothing():
    model = small().eval()
    images, codes = torch.randn(2, 3, 32, 32), torch.randn(2, 10)
    assert model.generator_loss(images, images, codes, codes).item() == 0


def test_a_blind_discriminator_costs_log_2():
    model = small()
    torch.nn.init.zeros_(model.discriminator.head.weight)
    images, drawn = torch.randn(2, 4, 3, 32, 32)
    assert model.discriminator_loss(images, drawn).item() == pytest.approx(math.log(2))


def test_score_is_the_distance_of_the_codes():
    model = small().eval()
    images = torch.randn(3, 3, 32, 32) * 0.3
    with torch.no_grad():
        seen = 2 * (images * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)) - 1
        seen = seen + 2 * torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
        codes = model.encoder(seen)
        drawn = model.decoder(codes)
        again = model.second(drawn)
        score, maps = model(images)
    torch.testing.assert_close(score, ((codes - again) ** 2).sum(1) / 10)
    torch.testing.assert_close(maps, (seen - drawn).abs().mean(1, keepdim=True))
    model.second.load_state_dict(model.encoder.state_dict())
    model.decoder = torch.nn.Module()
    model.decoder.forward = lambda codes: seen
    assert model(images).score.max().item() < 1e-6


@pytest.mark.parametrize("score", ["map", "features"])
def test_other_scores_against_their_definitions(score):
    model = small(score=score).eval()
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        found, maps = model(images)
        std, mean = torch.tensor([[0.229, 0.224, 0.225], [0.485, 0.456, 0.406]]).view(2, 3, 1, 1)
        seen = 2 * (images * std + mean) - 1
        pair = [model.discriminator.trunk(x) for x in (seen, model.decoder(model.encoder(seen)))]
    features = (pair[0] - pair[1]).flatten(1).pow(2).mean(1)
    expected = maps.flatten(1).max(1).values if score == "map" else features
    torch.testing.assert_close(found, expected)


def test_a_discriminator_that_has_won_starts_again(monkeypatch):
    images = [Batch(torch.randn(4, 3, 32, 32))]
    kept = small().fit(images).discriminator.trunk[3]
    assert int(kept.num_batches_tracked) > 0
    monkeypatch.setattr(ganomaly, "WON", math.inf)
    again = small().fit(images).discriminator.trunk[3]
    assert int(again.num_batches_tracked) == 0


@pytest.mark.parametrize(
    ("parameter", "value"), [("size", 40), ("code", 0), ("epochs", 0), ("score", "x")]
)
def test_wrong_parameters(parameter, value):
    with pytest.raises(ConfigError, match=parameter):
        small(**{parameter: value})


def test_solves_a_painted_defect():
    image, pixel = aurocs(small(size=16, epochs=60, seed=1).fit(batches()))
    assert image > 0.95 and pixel > 0.9
