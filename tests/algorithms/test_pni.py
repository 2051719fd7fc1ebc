import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_auc_score

from ad_models import Batch, config, create
from ad_models.algorithms.pni import Pni, Windows, position_chances
from ad_models.errors import ConfigError, InputError

SMALL = {"backbone": "resnet18", "weights": "random", "hidden": 8, "depth": 3, "epochs": 1}


def fitted(images, **more):
    return create("pni", **(SMALL | {"ratio": 0.5, "expected": 16} | more)).fit([Batch(images)])


def test_without_a_veto_it_is_the_nearest_neighbour():
    detector = fitted(torch.randn(4, 3, 64, 64), sigma=0)
    detector.here.fill_(True)
    with torch.no_grad():
        detector.expectation.rest[-1].weight.zero_()  # every entry is equally to be expected
        detector.expectation.rest[-1].bias.zero_()
        query = torch.randn(2, 3, 64, 64)
        patches = detector.embed(query).flatten(2).mT
        free = detector.score(patches, torch.cdist(patches, detector.bank).square(), detector.here)
        expected = 0.99 * torch.cdist(patches, detector.bank).amin(-1) - math.log(0.99)
        torch.testing.assert_close(free, expected, rtol=1e-3, atol=1e-3)
        inner = expected.unflatten(1, (1, 8, 8))[..., 2:6, 2:6]
        whole = F.pad(inner, (2, 2, 2, 2), mode="replicate")
        found = detector(query).map
    expected = F.interpolate(whole, (64, 64), mode="bilinear")
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_a_veto_only_raises_and_the_farthest_is_always_allowed():
    detector = fitted(torch.randn(4, 3, 64, 64))
    with torch.no_grad():
        patches = detector.embed(torch.randn(1, 3, 64, 64)).flatten(2).mT
    distances = torch.cdist(patches, detector.bank)
    everything = torch.ones(64, len(detector.bank), dtype=torch.bool)
    without = everything.scatter(1, distances[0].argmin(1, keepdim=True), False)
    free, barred, nothing = (
        detector.score(patches, distances.square(), allowed)
        for allowed in (everything, without, ~everything)
    )
    assert (barred > free).all()
    second = distances.topk(2, largest=False).values[..., 1]
    torch.testing.assert_close(barred, 0.99 * second - math.log(0.99), rtol=1e-3, atol=1e-3)
    farthest = 0.99 * distances.amax(-1) - math.log(0.99)
    torch.testing.assert_close(nothing, farthest, rtol=1e-3, atol=1e-3)


def test_chances_of_a_position_are_those_counted_around_it():
    index = torch.randint(0, 6, (5, 30), generator=torch.Generator().manual_seed(0))
    maps = index.unflatten(1, (5, 6))
    for border in (0, 1):
        found = position_chances(index, torch.Size([5, 6]), 6, 3, border)
        torch.testing.assert_close(found.sum(1), torch.ones(30))
        for y, x in ((0, 0), (2, 3), (4, 5)):
            rows = slice(max(border, y - 1), min(5 - border, y + 2))
            columns = slice(max(border, x - 1), min(6 - border, x + 2))
            near = maps[:, rows, columns].flatten()
            expected = torch.bincount(near, minlength=6) / len(near)
            torch.testing.assert_close(found[y * 6 + x], expected)
    nowhere = position_chances(index, torch.Size([5, 6]), 6, 3, 2)[0]  # its window counts nothing
    assert torch.equal(nowhere, torch.zeros(6))


def test_the_score_is_the_highest_patch_inside_before_the_blur():
    detector = fitted(torch.randn(4, 3, 64, 64), sigma=0)
    images = torch.randn(2, 3, 64, 64)
    sharp = detector.predict(images)
    middles = sharp.map[:, :, 20:44, 20:44]  # of patches 2 to 5; interpolated between their middles
    detector.config = config("pni", **SMALL, sigma=8.0)
    blurred = detector.predict(images)
    assert torch.equal(blurred.score, sharp.score) and (blurred.map.amax() < sharp.score).any()
    assert (sharp.score >= middles.amax((1, 2, 3))).all()
    torch.testing.assert_close(sharp.score, sharp.map.amax((1, 2, 3)), rtol=0.2, atol=0)


def test_the_network_learns_nothing_at_the_border(monkeypatch):
    seen = []
    around = Windows.around

    def watched(self, image, y, x):
        seen.append(torch.stack([image, y, x], 1))
        return around(self, image, y, x)

    monkeypatch.setattr(Windows, "around", watched)
    fitted(torch.randn(4, 3, 64, 64))
    places = torch.cat(seen).tolist()
    assert sorted(places) == [[i, y, x] for i in range(4) for y in range(2, 6) for x in range(2, 6)]


def test_a_position_allows_what_was_seen_near_it():
    images = torch.randn(4, 3, 64, 64)
    detector = fitted(images, window=3, floor=1e-6)
    with torch.no_grad():
        patches = detector.embed(images).flatten(2).mT
    seen = torch.cdist(patches, detector.bank).argmin(-1)  # (B, P)
    inside = [y * 8 + x for y in range(2, 6) for x in range(2, 6)]
    assert all(detector.here[at, image[at]] for image in seen for at in inside)
    assert not detector.here.all()


def test_the_network_sees_the_neighbours_and_not_the_centre():
    detector = fitted(torch.randn(4, 3, 64, 64)).eval()
    features = torch.randn(2, 256, 8, 8)
    with torch.no_grad():
        whole = detector.expectation(features).unflatten(1, (8, 8))
        columns = F.unfold(features, 9, padding=4).mT.unflatten(2, (256, 9, 9))  # (B, P, D, 9, 9)
        each = detector.expectation.of_windows(columns.flatten(0, 1).movedim(1, -1).clone())
        torch.testing.assert_close(whole.flatten(0, 2), each, rtol=1e-3, atol=1e-4)
        features[:, :, 3, 5] += 100
        changed = detector.expectation(features).unflatten(1, (8, 8))
    torch.testing.assert_close(changed[:, 3, 5], whole[:, 3, 5])
    assert (changed[:, 3, 4] - whole[:, 3, 4]).abs().max() > 0.01


def test_windows_are_cut_from_the_maps():
    features = torch.randn(3, 5, 6, 7)
    every = torch.meshgrid(*(torch.arange(n) for n in (3, 6, 7)), indexing="ij")
    found = Windows(features, 3).around(*(at.flatten() for at in every))
    expected = F.unfold(features, 3, padding=1).mT.flatten(0, 1).unflatten(1, (5, 3, 3))
    assert torch.equal(found, expected.movedim(1, -1))


def test_every_entry_belongs_to_the_nearest_of_the_first():
    detector = fitted(torch.randn(6, 3, 64, 64), ratio=0.1)
    assert len(detector.bank) == round(6 * 64 * 0.1) > 16
    expected = torch.cdist(detector.bank, detector.bank[:16]).argmin(1)
    assert torch.equal(detector.owner, expected)
    assert torch.equal(detector.owner[:16], torch.arange(16))


def test_an_image_without_patches_inside_is_refused():
    with pytest.raises(InputError, match="PNI needs 5"):
        fitted(torch.randn(2, 3, 32, 32))


@pytest.mark.parametrize(
    "wrong", [{"ratio": 0}, {"window": 4}, {"neighbourhood": 2}, {"depth": 1}, {"gamma": 0}]
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("pni", backbone="resnet18", weights="random", **wrong)


def halves(count: int, seed: int) -> torch.Tensor:
    """Upright stripes on the left half, level ones on the right."""
    g = torch.Generator().manual_seed(seed)
    shift = torch.rand(count, 1, 1, 1, generator=g)
    wave = torch.sin(torch.linspace(0, 80, 128).view(1, 1, 1, 128) + 6.3 * shift)
    wave = wave.expand(count, 3, 128, 128)
    images = torch.where(torch.arange(128) < 64, wave, wave.mT)
    return images + 0.1 * torch.randn(images.shape, generator=g)


def steepness(self: Pni, images: torch.Tensor) -> torch.Tensor:
    """In place of a backbone, which sees the whole of so small an image: change along x and y."""
    x = images[:, :1]
    both = torch.cat([(x - x.roll(1, dim)).square() for dim in (-1, -2)], dim=1)
    return F.avg_pool2d(both, 8).repeat(1, 128, 1, 1)


def test_a_normal_patch_in_the_wrong_place_is_found(monkeypatch):
    monkeypatch.setattr(Pni, "embed", steepness)
    detector = fitted(halves(16, 0), ratio=0.05, window=3, sigma=4)
    good, bad = halves(10, 1), halves(10, 1)
    bad[:, :, 40:80, 80:120] = bad[:, :, 40:80, 16:56]  # upright stripes on the right
    labels = torch.zeros(20, 128, 128)
    labels[10:, 40:80, 80:120] = 1
    found = detector.predict(torch.cat([good, bad]))
    assert roc_auc_score(labels.amax(dim=(1, 2)), found.score) > 0.95
    assert roc_auc_score(labels.flatten(), found.map.flatten()) > 0.95
    detector.here.fill_(True)
    memory = detector.predict(torch.cat([good, bad]))  # all that a memory without places has
    assert roc_auc_score(labels.flatten(), memory.map.flatten()) < 0.9
