import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from ad_models import Batch, create
from ad_models.algorithms import cpr
from ad_models.algorithms.cpr import around, cosine, drawn, elsewhere, picked, relit, unlikeness
from ad_models.errors import ConfigError
from ad_models.pixels import normalised, unit
from ad_models.retrieval import divergence, front_plane, lowest

PLAIN = {"backbone": "resnet18", "layers": ["layer1", "layer2"], "weights": "random"}
SMALL = PLAIN | {"channels": 8, "steps": 1, "batch": 2, "points": 20, "words": 4, "retrieved": 3}


def parts(count: int, seed: int, side: int = 64) -> torch.Tensor:
    """A striped part on a dark ground."""
    g = torch.Generator().manual_seed(seed)
    x = torch.linspace(0, 25, side).view(1, 1, 1, side)
    image = torch.sin(x + 0.5 * torch.rand(count, 1, 1, 1, generator=g)).expand(
        count, 3, side, side
    )
    inner = torch.zeros(side, side)
    inner[side // 8 : -side // 8, side // 8 : -side // 8] = 1
    noise = 0.1 * torch.randn(count, 3, side, side, generator=g)
    return torch.where(inner > 0, image, torch.full_like(image, -1.8)) + noise


@pytest.fixture(scope="module")
def fitted():
    return create("cpr", **SMALL, sigma=0).fit([Batch(parts(6, 0))])


def test_histograms_are_shares_of_the_nearest_words(fitted):
    features = torch.randn(2, 64, 10, 15)
    found = fitted.retrieval.histogram(features)
    assert found.shape == (2, 4, 25)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 25))
    centres = fitted.retrieval.centres
    words = torch.cdist(features.flatten(2).mT, centres).argmin(-1).unflatten(1, (10, 15))
    block = words[1, 2:4, 6:9].flatten()  # row 1, column 2 of the blocks
    expected = torch.bincount(block, minlength=4) / 6
    torch.testing.assert_close(found[1, :, 7], expected)


def test_divergence_is_kullback_leibler_over_the_best_four_fifths():
    g = torch.Generator().manual_seed(0)
    a, b = (torch.rand(2, 4, 25, generator=g).softmax(1) for _ in range(2))
    found = divergence(a, b)
    for i in range(2):
        for j in range(2):
            blocks = F.kl_div(b[j].log(), a[i], reduction="none").sum(0)
            expected = blocks.sort().values[:20].sum()
            assert float(found[i, j]) == pytest.approx(float(expected), abs=1e-5)
    same = divergence(a, a)
    assert same.diagonal().abs().max() < 1e-5 and (same.argmin(1) == torch.arange(2)).all()


def test_of_equally_unlike_images_the_first_are_retrieved():
    unlike = torch.tensor([[3.0, 1.0, 0.5, 1.0 - 1e-6, 2.0, 1.0]])
    assert lowest(unlike, 3).tolist() == [[2, 1, 3]]


def test_neighbours_only_bring_patches_closer():
    a, b = (F.normalize(torch.randn(1, 5, 6, 7)) for _ in range(2))
    found = around(a, b)
    assert (found >= (a * b).sum(1) - 1e-6).all()
    torch.testing.assert_close(around(a, a.roll(1, 3))[..., :-1], torch.ones(1, 6, 6))
    corner = max(float(a[0, :, 0, 0] @ b[0, :, y, x]) for y in (0, 1) for x in (0, 1))
    assert float(around(a, b)[0, 0, 0]) == pytest.approx(corner, abs=1e-5)
    opposite = torch.ones(1, 1, 3, 3)  # beyond the border there is nothing to be closer to
    assert float(around(opposite, -opposite).max()) == -1


def test_a_training_image_retrieves_itself_and_scores_nothing():
    g = torch.Generator().manual_seed(0)
    images = F.interpolate(torch.randn(8, 3, 8, 8, generator=g), (64, 64))  # unlike each other
    detector = create("cpr", **SMALL, sigma=0).fit([Batch(images[:6])])
    with torch.no_grad():
        features = detector.pyramid(images[:6])
        order = detector.retrieval.like(features[0], 1)[:, 0]
    assert torch.equal(order, torch.arange(6))
    assert detector.predict(images[:6]).map.max() < 5e-3  # the bank holds half precision
    assert detector.predict(images[6:]).map.max() > 1e-2


def test_the_score_is_the_sum_of_the_largest_pixels(fitted):
    found = fitted.predict(parts(2, 5))
    expected = found.map.flatten(1).sort(descending=True).values[:, :512].sum(1)
    torch.testing.assert_close(found.score, expected)


def test_the_foreground_is_the_part_and_not_its_ground():
    grid = torch.Size([20, 20])
    inside = torch.zeros(3, 20, 20, dtype=torch.bool)
    inside[:, 5:15, 5:15] = True
    g = torch.Generator().manual_seed(0)
    flat = torch.randn(3 * 400, 4, generator=g) + 8 * inside.flatten()[:, None]
    for side in (inside, ~inside):  # whichever number the clusters have
        plane, offset = front_plane(flat, side.flatten(1).long(), grid)
        found = (flat @ plane + offset).clamp(0, 1)
        assert found[inside.flatten()].min() > found[~inside.flatten()].max()
        assert found.min() == 0 and found.max() == 1
    assert front_plane(flat, torch.zeros(3, 400, dtype=torch.long), grid) is None


def test_textures_are_all_foreground():
    detector = create("cpr", **SMALL, objects=False).fit([Batch(parts(3, 0))])
    assert (detector.retrieval.fronts == 1).all()


def test_places_that_are_drawn():
    weights = torch.zeros(2, 12)
    weights[0, [3, 7]] = 1
    assert set(drawn(weights, 50)[0].tolist()) == {3, 7}
    at = torch.randint(80, (3, 200))
    for stride in (4.0, 8.0):
        away = elsewhere(at, torch.Size([8, 10]), stride)
        far = torch.hypot((away // 10 - at // 10).float(), (away % 10 - at % 10).float()) * stride
        assert far.min() > 4 * math.sqrt(2)


def test_cosines_of_picked_places():
    a, b = (F.normalize(torch.randn(2, 6, 9)) for _ in range(2))
    at, there = torch.randint(9, (2, 5)), torch.randint(9, (2, 5))
    found = cosine(a, b, at, there)
    for i in range(2):
        for k in range(5):
            expected = F.cosine_similarity(a[i, :, at[i, k]], b[i, :, there[i, k]], dim=0)
            assert float(found[i, k]) == pytest.approx(float(expected), abs=1e-5)
    assert torch.equal(picked(a, at)[1, :, 2], a[1, :, at[1, 2]])


def test_other_places_count_by_their_distance_in_each_image():
    a, b = torch.randn(2, 3, 6, 5)
    a[1] *= 100  # an image of large features takes no weight from the others
    found = unlikeness(a, b)
    for i in range(3):
        distances = [float((a[i, :, k] - b[i, :, k]).norm() ** 2) for k in range(5)]
        expected = [5 * d / sum(distances) for d in distances]
        assert found[i].tolist() == pytest.approx(expected, rel=1e-4)


def test_agreeing_normals_and_opposite_defects_cost_nothing(fitted, monkeypatch):
    one = F.normalize(torch.randn(1, 8, 1, 1)).expand(1, 8, 16, 16)
    masks = torch.zeros(1, 1, 64, 64)
    masks[..., :32, :] = 1
    front = torch.ones(1, 1, 16, 16)
    monkeypatch.setattr(fitted, "locals", torch.nn.ModuleList([torch.nn.Identity()]))
    monkeypatch.setattr(fitted, "config", replace(fitted.config, objects=False))
    query = torch.where(torch.arange(16).view(16, 1) < 8, -one, one)
    good = fitted.loss([torch.cat([query, one])], masks, front, front)
    bad = fitted.loss([torch.cat([-query, one])], masks, front, front)
    assert good.item() == pytest.approx(0, abs=1e-9)
    # normal pairs at -1 lack 1.8, defective ones at 1 are 1.2 too near; equation 9
    assert bad.item() == pytest.approx(1.8**3 + 1.2**3, rel=1e-4)


def test_synthetic_images_stay_themselves_outside_their_defects(fitted):
    torch.manual_seed(0)
    images = parts(8, 3)
    spoiled, masks = fitted.synthetic(images, torch.ones(8, 1, 16, 16))
    assert spoiled.shape == images.shape and set(masks.unique().tolist()) == {0.0, 1.0}
    changed = (spoiled - images).abs().amax(1, keepdim=True) > 0.7
    assert (changed & (masks == 0)).float().mean() < 0.03  # salt and pepper
    assert changed[masks > 0].float().mean() > 0.3


def test_light_and_noise_change_three_images_in_ten_each():
    torch.manual_seed(0)
    images = normalised(torch.full((400, 3, 8, 8), 0.5))
    colours = unit(relit(images))
    middle = colours.flatten(1).median(1).values
    assert 80 < ((middle - 0.5).abs() > 1e-4).sum() < 160
    assert middle.min() >= 0.45 - 1e-5 and middle.max() <= 0.55 + 1e-5
    noisy = ((colours < 0.1) | (colours > 0.9)).flatten(1).float().mean(1)
    assert 20 < (noisy > 0).sum() < 160 and noisy.max() < 0.15


def test_both_images_of_a_pair_are_relit(fitted, monkeypatch):
    seen = []
    monkeypatch.setattr(cpr, "relit", lambda images: seen.append(images) or images)
    create("cpr", **SMALL).fit([Batch(parts(6, 0))])
    assert [len(images) for images in seen] == [2, 2]  # of the query and of the reference
    known = parts(6, 0)
    assert all((image == known).flatten(1).all(1).any() for image in seen[1])


@pytest.mark.parametrize("wrong", [{"layers": ["layer1"]}, {"words": 0}, {"textures": "nowhere"}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("cpr", **(PLAIN | wrong))


def test_a_painted_defect_is_found():
    more = {"steps": 20, "batch": 6, "points": 60, "channels": 16}
    detector = create("cpr", **(SMALL | more), sigma=2).fit([Batch(parts(10, 0))])
    good, bad = parts(8, 1), parts(8, 2)
    bad[:, :, 26:38, 30:42] += 1.5
    labels = torch.zeros(16, 64, 64)
    labels[8:, 26:38, 30:42] = 1
    found = detector.predict(torch.cat([good, bad]))
    assert roc_auc_score(labels.amax(dim=(1, 2)), found.score) > 0.95
    assert roc_auc_score(labels.flatten(), found.map.flatten()) > 0.9
