import pytest
import torch
from sklearn.decomposition import PCA

from ad_models import Batch, Run, create
from ad_models.algorithms.subspacead import moments, subspace
from ad_models.errors import ConfigError, InputError
from ad_models.maps import window
from ad_models.seen import Seen

TINY = {"backbone": "test_vit", "blocks": (0, 1), "weights": "random", "size": 64}


def detector_of(**more):
    return create("subspacead", **(TINY | more))


def textured(count, side=64):
    return torch.randn(1, 3, side, side) + 0.5 * torch.randn(count, 3, side, side)


def seen(tokens):
    """An image that is one row of these tokens (N, D), 16 pixels each."""
    return Seen([torch.as_tensor(tokens).float().T[None, :, None]], (16, 16 * len(tokens)))


def residuals(tokens, mean, basis):
    away = torch.tensor(tokens).float() - mean
    return (away.square().sum(-1) - (away @ basis).square().sum(-1)).tolist()


def test_the_residual_of_known_tokens():
    known = moments(seen([[1, 0, 0], [-1, 0, 0], [0, 0.1, 0], [0, -0.1, 0]]).maps)
    mean, basis = subspace(known, 0.99)  # 0.990099 of the variance is that of the first direction
    assert basis.shape == (3, 1) and basis[:, 0].abs().tolist() == [1, 0, 0]
    assert residuals([[0, 0, 2], [3, 0.1, 0]], mean, basis) == pytest.approx([4, 0.01], rel=1e-4)
    assert subspace(known, 0.9902)[1].shape == (3, 2)


@pytest.mark.parametrize("variance", [0.5, 0.9, 0.99])
def test_the_subspace_is_that_of_a_principal_component_analysis(variance):
    tokens = torch.randn(200, 6) @ torch.randn(6, 6) + 3
    mean, basis = subspace(moments(seen(tokens).maps), variance)
    expected = PCA(n_components=variance, svd_solver="full").fit(tokens.double().numpy())
    assert basis.shape[1] == expected.n_components_
    torch.testing.assert_close(mean, torch.from_numpy(expected.mean_).float(), rtol=1e-4, atol=1e-5)
    other = torch.from_numpy(expected.components_).float().T
    torch.testing.assert_close(basis @ basis.T, other @ other.T, rtol=1e-3, atol=1e-4)


def test_the_map_is_the_residual():
    tokens = torch.randn(4, 64)
    detector = detector_of(size=(16, 64), variance=0.9).fit([Batch(seen(torch.randn(9, 64)))])
    found = detector.predict(seen(tokens))
    expected = torch.tensor(residuals(tokens.tolist(), detector.mean, detector.basis))
    middle = found.map[0, 0, 8, 8::16]  # between two pixels of the same token, nearly
    assert (middle / expected - 1).abs().max() < 0.2
    highest = found.map.flatten().sort(descending=True).values[:10]  # 1 % of 16 x 64
    assert found.score.item() == pytest.approx(highest.mean().item(), rel=1e-5)


def test_the_window_is_that_of_the_official_code():
    line = window(3, 4.0).sum(0).tolist()
    assert line == pytest.approx([0.329843, 0.340314, 0.329843], abs=1e-6)


@pytest.mark.parametrize("turns", [1, 3])
def test_images_are_left_out_as_by_a_fit_without_them(turns):
    images, groups = textured(7), [[4], [0, 2], [6, 1], [5, 3]]
    detector = detector_of(turns=turns).fit([Batch(images)])
    loader = [Batch(images[group]) for group in groups]
    for group, found in zip(groups, detector.left_out(loader, groups, Run()), strict=True):
        others = [number for number in range(7) if number not in group]
        again = detector_of(turns=turns).fit([Batch(images[others])])
        torch.testing.assert_close(found, again.predict(images[group]), rtol=1e-3, atol=1e-4)


def test_an_update_is_a_fit_on_all():
    images, strange = textured(6), torch.randn(2, 3, 64, 64)
    whole = detector_of(turns=2).fit([Batch(images)])
    parts = detector_of(turns=2).fit([Batch(images[:2])]).update([Batch(images[2:])])
    torch.testing.assert_close(parts.predict(strange), whole.predict(strange), rtol=1e-3, atol=1e-4)
    again = whole.fit([Batch(images[:2])]).predict(strange)
    alone = detector_of(turns=2).fit([Batch(images[:2])]).predict(strange)
    torch.testing.assert_close(again, alone)  # nothing of the fit before is left


@pytest.mark.parametrize("wrong", [{"turns": 0}, {"variance": 0.0}, {"top": 1.5}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        detector_of(**wrong)


def test_no_image():
    with pytest.raises(InputError, match="at least 1"):
        detector_of().fit([])
