import numpy as np
import pytest
import torch

from ad_models import Batch, create
from ad_models.adamp import AdamP
from ad_models.algorithms.reconpatch import contextual, relaxed_contrastive, similarity
from ad_models.errors import ConfigError, InputError


def small(**more):
    parameters = {"backbone": "drawnet", "weights": "random", "dims": 16, "epochs": 1} | more
    return create("reconpatch", **parameters)


def by_sets(distance: np.ndarray, k: int) -> np.ndarray:
    """Contextual similarity from its definition with sets."""
    order = distance.argsort(axis=1, kind="stable")
    near = [set(row[:k].tolist()) for row in order]
    half = [{i} | set(row[: round(k / 2)].tolist()) for i, row in enumerate(order)]
    n = len(distance)
    tilde = np.array(
        [[len(near[i] & near[j]) / k if j in near[i] else 0 for j in range(n)] for i in range(n)]
    )
    hat = np.array(
        [tilde[[other for other in half[i] if i in half[other]]].mean(axis=0) for i in range(n)]
    )
    return (hat + hat.T) / 2


@pytest.mark.parametrize("k", [1, 3, 5, 8])
def test_contextual_similarity_is_its_definition(k):
    z = torch.randn(24, 3)
    distance = torch.cdist(z, z)
    found = contextual(distance, k)
    np.testing.assert_allclose(found, by_sets(distance.fill_diagonal_(0).numpy(), k), atol=1e-6)


def test_similarity_is_the_blend():
    z = torch.randn(15, 4)
    squared = (z[:, None] - z[None]).square().sum(2)
    expected = 0.3 * torch.exp(-squared / 2) + 0.7 * contextual(squared.sqrt(), 5)
    torch.testing.assert_close(similarity(z, 2.0, 5, 0.3), expected)


def test_similarity_is_symmetric_and_follows_the_patches():
    z, order = torch.randn(30, 4), torch.randperm(30)
    labels = similarity(z, 1.0, 5, 0.5)
    torch.testing.assert_close(labels, labels.T)
    assert labels.min() >= 0 and labels.max() <= 1 + 1e-6
    torch.testing.assert_close(similarity(z[order], 1.0, 5, 0.5), labels[order][:, order])


def test_equal_patches_are_no_trouble():
    labels = similarity(torch.zeros(12, 4), 1.0, 5, 0.5)
    assert labels.isfinite().all()
    torch.testing.assert_close(labels.diagonal() >= 0.5, torch.ones(12, dtype=torch.bool))


def test_loss_is_its_definition():
    z, labels = torch.randn(9, 4), torch.rand(9, 9)
    distance = np.linalg.norm(z.numpy()[:, None] - z.numpy()[None], axis=2)
    expected = 0.0
    for i in range(9):
        for j in range(9):
            delta = distance[i, j] / distance[i].mean()
            w = float(labels[i, j])
            expected += w * delta**2 + (1 - w) * max(1.0 - delta, 0) ** 2
    assert float(relaxed_contrastive(z, labels, 1.0)) == pytest.approx(expected / 9, rel=1e-5)


def test_loss_knows_no_scale():
    z, labels = torch.randn(40, 4), torch.rand(40, 40)
    one, ten = (float(relaxed_contrastive(z * s, labels, 1.0)) for s in (1, 10))
    assert one == pytest.approx(ten, rel=1e-4)


def trained(**more):
    g = torch.Generator().manual_seed(1)
    images = torch.randn(3, 3, 64, 64, generator=g)
    return small(**more).fit([Batch(images)]), images


def test_without_training_it_is_patchcore_in_the_layer_s_space():
    detector, images = trained(lr=1e-30, ratio=1.0, weight_decay=0)
    patchcore = create("patchcore", backbone="drawnet", weights="random", ratio=1.0, sigma=4.0)
    patchcore.pyramid.load_state_dict(detector.pyramid.state_dict())
    queries = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        bank = detector.layer(patchcore.embed(images)[0].flatten(0, 1))
        patches = detector.layer(patchcore.embed(queries)[0])
    score, _ = detector.predict(queries)
    for i in range(2):
        distances = torch.cdist(patches[i], bank).double()
        worst = distances.min(1).values.argmax()
        memory = distances[worst].argmin()
        around = torch.cdist(bank[memory][None], bank)[0].topk(9, largest=False).indices
        near = distances[worst][around]
        weight = 1 - torch.exp(distances[worst][memory]) / torch.exp(near).sum()
        expected = float(weight * distances[worst][memory])
        assert float(score[i]) == pytest.approx(expected, rel=1e-2)  # the bank is rounded


def test_training_lowers_the_loss_and_moves_only_the_layer():
    untrained, images = trained(lr=1e-30, weight_decay=0)
    detector, _ = trained(lr=1e-2, epochs=20)
    losses = []
    for model in (untrained, detector):
        with torch.no_grad():
            z = model.layer(model.embed(images[:1])[0][0])
        losses.append(float(relaxed_contrastive(z, similarity(z, 1.0, 5, 0.5), 1.0)))
    assert losses[1] < 0.9 * losses[0]
    for name, value in untrained.pyramid.state_dict().items():
        assert torch.equal(value, detector.pyramid.state_dict()[name])


def test_the_bank_holds_the_ratio_asked_for():
    detector, _ = trained(ratio=0.25)
    assert detector.bank.shape == (3 * 8 * 8 // 4, 16)


def test_large_images_are_contrasted_in_part(monkeypatch):
    seen = []

    def note(z, labels, margin):
        seen.append(len(z))
        return relaxed_contrastive(z, labels, margin)

    monkeypatch.setattr("ad_models.algorithms.reconpatch.relaxed_contrastive", note)
    trained(patches=50)
    assert seen == [50] * 3


def test_adamp_is_adamw_where_length_matters():
    weights = torch.randn(6, 5)
    mine, theirs = (torch.nn.Parameter(weights.clone()) for _ in range(2))
    ours = AdamP([mine], lr=0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW([theirs], lr=0.01, weight_decay=0.1)
    for _ in range(20):
        for parameter, optimiser in ((mine, ours), (theirs, adamw)):
            optimiser.zero_grad()
            (parameter - 1).square().sum().backward()
            optimiser.step()
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("units", ["each", "all"])
def test_adamp_turns_but_hardly_lengthens_scale_invariant_weights(units):
    target, weights = torch.randn(6, 50), torch.randn(6, 50)
    parameter = torch.nn.Parameter(weights.clone())
    dim = 1 if units == "each" else (0, 1)
    (parameter / parameter.norm(dim=dim, keepdim=True)).mul(target).sum().backward()
    AdamP([parameter], lr=0.01).step()
    moved = parameter.detach() - weights
    assert float((moved * weights).sum(dim=dim).abs().max()) < 1e-5 * float(weights.square().sum())
    assert float(moved.norm()) > 0.1


def test_no_image():
    with pytest.raises(InputError, match="no normal image"):
        small().fit([])


@pytest.mark.parametrize(
    "wrong",
    [
        {"neighbourhood": 4},
        {"dims": 0},
        {"neighbours": 0},
        {"patches": 1},
        {"ratio": 0},
        {"momentum": 1.5},
        {"pairwise": -0.1},
        {"bandwidth": 0},
        {"margin": 0},
    ],
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        small(**wrong)
