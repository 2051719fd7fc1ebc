import math

import pytest
import torch
import torch.nn.functional as F
from kornia.geometry.transform import rotate
from sklearn.metrics import roc_auc_score
from torchvision.models import resnet18

from ad_models import MEAN, STD, Batch, create
from ad_models.algorithms import regad
from ad_models.algorithms.regad import Localiser, inverse, partners, variants, warp
from ad_models.errors import ConfigError, InputError, NotFittedError
from ad_models.run import Run

PLAIN = {"backbone": "resnet18", "weights": "random"}


def turned(angle: float, wide: float = 1.0, high: float = 1.0) -> torch.Tensor:
    cos, sin = math.cos(angle), math.sin(angle)
    return torch.tensor([[[cos * wide, -sin], [sin, cos * high]]])


def smooth(size: int) -> torch.Tensor:
    """An image (1, 3, size, size) that sampling twice hardly blurs."""
    line = torch.linspace(0, 5, size)
    rows = torch.stack([(line * k).sin()[:, None] + (line / k).cos() for k in (1.0, 1.3, 0.7)])
    return rows[None]


@pytest.mark.parametrize("columns", [2, 3])
def test_warping_is_grid_sampling(columns):
    x, matrix = torch.randn(2, 3, 7, 9), torch.randn(2, 2, columns)
    whole = F.pad(matrix, (0, 3 - columns))
    grid = F.affine_grid(whole, list(x.shape), align_corners=False)
    expected = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(warp(x, matrix), expected, rtol=1e-4, atol=1e-5)


def test_inverses_and_one_that_has_collapsed():
    matrices = torch.cat([turned(0.3, 1.2, 0.8), turned(-2.0, 0.5, 2.0)])
    torch.testing.assert_close(matrices @ inverse(matrices), torch.eye(2).expand(2, 2, 2))
    assert inverse(torch.zeros(1, 2, 2)).isfinite().all()


def test_an_untrained_localiser_moves_nothing():
    x = torch.randn(2, 8, 16, 12)
    matrices = Localiser(8, 4)(x)
    torch.testing.assert_close(matrices, torch.eye(2).expand(2, 2, 2))
    torch.testing.assert_close(warp(x, matrices), x)


def test_a_fresh_network_is_the_backbone():
    detector = create("regad", **PLAIN).eval()
    net = resnet18()
    net.load_state_dict(detector.registration.net.state_dict(), strict=False)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        x = images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
        net.eval()
        x = net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x)))))
        middle = net.layer2(x)
        last = F.interpolate(net.layer3(middle), size=(16, 16))
        expected = torch.cat([x, F.interpolate(middle, size=(16, 16)), last], dim=1)
        patches, grid = detector.embed(images)
    assert tuple(grid) == (16, 16)
    torch.testing.assert_close(patches.mT.unflatten(2, (16, 16)), expected, rtol=1e-3, atol=1e-3)


def test_features_return_to_their_place_through_every_warp():
    detector = create("regad", **PLAIN).eval()
    first, second, third = turned(0.2, 0.9, 1.1), turned(-0.4, 1.0, 0.9), turned(0.1)
    image = smooth(64)
    one = warp(image, first)
    two = warp(one, second)
    three = warp(two, third)
    detector.registration.forward = lambda _: ([one, two, three], [first, second, third])
    patches, _ = detector.embed(image)
    placed = patches.mT.unflatten(2, (64, 64))[..., 22:42, 22:42]
    for found in placed.split(3, dim=1):
        torch.testing.assert_close(found, image[..., 22:42, 22:42], rtol=0, atol=0.02)


def test_the_loss_is_equation_2_and_lies_between_minus_one_and_one():
    detector = create("regad", **PLAIN).eval()
    one, other = torch.randn(2, 256, 3, 3), torch.randn(2, 256, 3, 3)

    def cosine(a, b):
        return (a * b).sum(1) / (a.square().sum(1) * b.square().sum(1)).sqrt()

    with torch.no_grad():
        z1, z2 = detector.encoder(one), detector.encoder(other)
        p1, p2 = detector.predictor(z1), detector.predictor(z2)
        expected = -(cosine(p1, z2) + cosine(p2, z1)).mean() / 2
        assert detector.loss(one, other).item() == pytest.approx(expected.item(), abs=1e-5)
    detector.predictor = torch.nn.Identity()
    assert detector.loss(one, one).item() == pytest.approx(-1, abs=1e-5)
    assert detector.loss(one, -one).item() >= -1


def test_no_gradient_reaches_the_side_that_is_only_compared_with():
    detector = create("regad", **PLAIN).eval()
    one = torch.randn(1, 256, 2, 2)
    other = torch.randn(1, 256, 2, 2)
    found = torch.autograd.grad(detector.loss(one, other), list(detector.encoder.parameters()))
    z1, z2 = detector.encoder(one), detector.encoder(other)
    fixed1, fixed2 = z1.detach().clone(), z2.detach().clone()
    p1, p2 = detector.predictor(z1), detector.predictor(z2)
    loss = -(F.cosine_similarity(p1, fixed2) + F.cosine_similarity(p2, fixed1)).mean() / 2
    expected = torch.autograd.grad(loss, list(detector.encoder.parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_partners_are_others_of_the_same_product():
    batch = Batch(torch.zeros(7, 3, 4, 4), ["a", "b", "a", "c", "b", "a", "a"])
    queries, references = partners(batch, 2)
    assert queries.tolist() == [0, 1, 2, 4, 5, 6]  # c is alone
    for query, drawn in zip(queries.tolist(), references.tolist(), strict=True):
        assert all(batch.category[i] == batch.category[query] and i != query for i in drawn)
    queries, references = partners(Batch(torch.zeros(5, 3, 4, 4)), 2)
    assert all(len(set(drawn)) == 2 for drawn in references.tolist()) and len(queries) == 5


def test_support_images_are_the_paper_s_22():
    image = smooth(64)
    found = variants(image)
    assert found.shape == (22, 3, 64, 64)
    grey = found[21] * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert (grey - grey[:1]).abs().max() < 1e-5 and not torch.equal(found[21], image[0])

    def has(expected, border):
        inner = slice(border, 64 - border)
        away = (found - expected)[..., inner, inner].abs().amax(dim=(1, 2, 3))
        return int((away < 1e-3).sum()) == 1

    assert has(image, 0) and has(image.flip(-1), 0)
    assert all(has(image.rot90(k, (-2, -1)), 0) for k in (1, 2, 3))
    for degrees in (11.25, 22.5, 33.75, 45.0):
        for sign in (1, -1):
            angle = torch.tensor([sign * degrees])
            assert has(rotate(image, angle, padding_mode="reflection"), 14), degrees
    for share in (0.2, 0.1):  # of half the side: 6.4 and 3.2 pixels
        for x in (share, -share):
            for y in (share, -share):
                matrix = torch.tensor([[[1, 0, x], [0, 1, y]]])
                grid = F.affine_grid(matrix, [1, 3, 64, 64], align_corners=False)
                moved = F.grid_sample(image, grid, align_corners=False)
                assert has(moved, 8), (x, y)


def test_distances_are_mahalanobis(monkeypatch):
    monkeypatch.setattr(regad, "finish", lambda distances, *_: distances)
    detector = create("regad", **PLAIN, shots=2).eval()
    images = torch.randn(2, 3, 32, 32)
    detector.calibrate([Batch(images)], Run())
    assert detector.explained.shape == (64, 44, 448)
    query = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        samples = torch.cat([detector.embed(variants(image[None]))[0] for image in images])
        patches = detector.embed(query)[0][0].double()
        found = detector(query).map.flatten()
    for at in (0, 27, 63):
        x = samples[:, at].double()
        covariance = torch.cov(x.T) + 0.01 * torch.eye(448)
        away = patches[at] - x.mean(0)
        expected = (away @ torch.linalg.solve(covariance, away)).sqrt()
        assert float(found[at]) == pytest.approx(float(expected), rel=1e-3)


def test_a_new_product_needs_no_training():
    detector = create("regad", **PLAIN, epochs=1, shots=2)
    detector.fit([Batch(torch.randn(4, 3, 32, 32), ["a", "a", "b", "b"])])
    learned = {k: v.clone() for k, v in detector.registration.state_dict().items()}
    with pytest.raises(NotFittedError, match="for no product yet"):
        detector.predict(torch.randn(1, 3, 32, 32))
    support = torch.randn(5, 3, 32, 32)
    detector.calibrate([Batch(support)], Run())
    many = detector.predict(support)
    detector.calibrate([Batch(support[:2])], Run())
    few = detector.predict(support)
    assert torch.equal(many.map, few.map)  # two shots: the others were not looked at
    assert few.score[:2].max() < few.score[2:].min()
    assert all(torch.equal(v, detector.registration.state_dict()[k]) for k, v in learned.items())


@pytest.mark.parametrize("statistics", [True, False])
def test_the_backbones_statistics_are_learned_or_kept(statistics):
    detector = create("regad", **PLAIN, epochs=1, shots=2, statistics=statistics)
    registration = detector.registration

    def running(module):
        return {k: v.clone() for k, v in module.named_buffers() if "running" in k}

    before = running(registration.net), running(registration.localisers)
    detector.fit([Batch(torch.randn(4, 3, 32, 32), ["part"] * 4)])
    for name, value in running(registration.net).items():
        assert torch.equal(value, before[0][name]) != statistics, name
    assert all(
        not torch.equal(v, before[1][k]) for k, v in running(registration.localisers).items()
    )


def test_products_without_company_are_refused():
    with pytest.raises(InputError, match="at least 2 images of the same product"):
        create("regad", **PLAIN, epochs=1).fit([Batch(torch.randn(2, 3, 32, 32), ["a", "b"])])


@pytest.mark.parametrize(
    "wrong", [{"shots": 0}, {"epsilon": 0}, {"references": 0}, {"epochs": 0}, {"backbone": "vgg16"}]
)
def test_out_of_range(wrong):
    name = "ResNet" if "backbone" in wrong else next(iter(wrong))
    with pytest.raises(ConfigError, match=name):
        create("regad", **({"weights": "random"} | wrong))


def stripes(count: int, waves: float, turn: bool, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    x = torch.linspace(0, waves, 64).view(1, 1, 1, 64) + torch.rand(count, 1, 1, 1, generator=g)
    image = torch.sin(x).expand(count, 3, 64, 64) + 0.1 * torch.randn(count, 3, 64, 64, generator=g)
    return image.mT.contiguous() if turn else image


def test_defects_of_a_product_it_was_not_trained_on():
    others = [
        Batch(stripes(8, waves, turn, 0), [name] * 8)
        for name, waves, turn in (("a", 9.0, False), ("b", 20.0, False), ("c", 14.0, True))
    ]
    detector = create("regad", **PLAIN, epochs=2, lr=1e-2, shots=4)
    detector.fit(others, normals=[Batch(stripes(4, 14.0, False, 1))])
    good, bad = stripes(12, 14.0, False, 2), stripes(12, 14.0, False, 3)
    bad[:, :, 30:40, 16:26] += 1.5
    labels = torch.zeros(24, 1, 64, 64)
    labels[12:, :, 30:40, 16:26] = 1
    found = detector.predict(torch.cat([good, bad]))
    spoilt = labels.amax(dim=(1, 2, 3))
    assert roc_auc_score(spoilt, found.score) > 0.95
    assert roc_auc_score(labels.flatten(), found.map.flatten()) > 0.9
