import pytest
import torch

from ad_models import Batch, create
from ad_models.errors import ConfigError


def fitted(images, **more):
    parameters = {"backbone": "resnet18", "weights": "random", "ratio": 1.0} | more
    return create("patchcore", **parameters).fit([Batch(images)])


def test_a_remembered_image_scores_zero():
    images = torch.randn(3, 3, 64, 64)
    assert fitted(images).predict(images).score.abs().max() < 1e-4


def test_the_bank_holds_the_ratio_asked_for():
    images = torch.randn(4, 3, 64, 64)
    assert len(fitted(images, ratio=0.25).bank) == 4 * 8 * 8 // 4


def test_reweighting_is_equation_7():
    images = torch.randn(4, 3, 64, 64)
    plain, weighted = fitted(images), fitted(images, reweight=True, reweight_neighbours=3)
    query = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        patches, _ = plain.embed(query)
    for i, score in enumerate(weighted.predict(query).score):
        distances = torch.cdist(patches[i], plain.bank)
        worst = distances.min(1).values.argmax()
        memory = distances[worst].argmin()
        around = torch.cdist(plain.bank[memory][None], plain.bank)[0].topk(3, largest=False).indices
        near = distances[worst][around].double()
        weight = 1 - torch.exp(distances[worst][memory].double()) / torch.exp(near).sum()
        assert float(score) == pytest.approx(float(weight * distances[worst][memory]), rel=1e-3)


def test_reweighting_never_overflows():
    images = torch.randn(4, 3, 64, 64)
    detector = fitted(images, reweight=True)
    detector.bank *= 1e4  # distances of many thousands: exp() of them is infinite
    assert detector.predict(images).score.isfinite().all()


@pytest.mark.parametrize("wrong", [{"ratio": 0}, {"ratio": 1.5}, {"neighbourhood": 2}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("patchcore", backbone="resnet18", weights="random", **wrong)
