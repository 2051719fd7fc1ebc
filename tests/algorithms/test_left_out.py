"""Predictions of images by the model without them are those of another fit."""

import pytest
import torch

from ad_models import Batch, Run, create, gaussian_left_out
from ad_models.algorithms import patchcore
from ad_models.base import blocks
from ad_models.coreset import Points, cover
from ad_models.coreset_without import nearest_of_two, without_each
from ad_models.neighbours import nearest
from ad_models.seen import Seen

GAUSSIANS = {"padim": {"dims": 24}, "semi_orthogonal": {"dims": 24}}


def detector_of(name, **more):
    backbone = "drawnet" if name in GAUSSIANS else "resnet18"
    parameters = {"backbone": backbone, "weights": "random", "sigma": 0} | more
    return create(name, layers=["layer1", "layer2"], **parameters)


def textured(count, side=32):
    """Images (count, 3, side, side) of one pattern, with a little noise."""
    pattern = torch.randn(1, 3, side, side)
    return pattern + 0.5 * torch.randn(count, 3, side, side)


def groups_of(count, size):
    """Groups of neighbours and of others, the larger ones last."""
    numbers = torch.randperm(count).tolist()
    return sorted((numbers[at : at + size] for at in range(0, count, size)), key=len)


def left_out(detector, images, groups):
    """Predictions by the detector, a pair (score, map) for each group."""
    loader = [Batch(images[group]) for group in groups]
    return list(detector.left_out(loader, groups, Run()))


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("count", [8, 20, 26, 40])  # fewer than 24 dimensions, about as many, more
@pytest.mark.parametrize("name", GAUSSIANS)
def test_a_gaussian_leaves_images_out_as_a_fit_without_them(name, count, size):
    images, groups = textured(count), groups_of(count, size)
    detector = detector_of(name, **GAUSSIANS[name]).fit([Batch(images)])
    for group, found in list(zip(groups, left_out(detector, images, groups), strict=True))[::3]:
        others = [number for number in range(count) if number not in group]
        again = detector_of(name, **GAUSSIANS[name]).fit([Batch(images[others])])
        expected = again.predict(images[group])
        torch.testing.assert_close(found.map, expected.map, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(found.score, expected.score, rtol=1e-3, atol=1e-4)


def test_groups_of_two_sizes_need_two_ridges():
    images, groups = textured(40), groups_of(40, 3)
    assert {len(group) for group in groups} == {1, 3}
    for detector in (detector_of("padim", dims=24), detector_of("padim", dims=90)):
        detector.fit([Batch(images)])
        found = left_out(detector, images, groups)
        others = [number for number in range(40) if number not in groups[0]]
        again = create("padim", **vars(detector.config)).fit([Batch(images[others])])
        expected = again.predict(images[groups[0]]).map
        torch.testing.assert_close(found[0].map, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dims", [8, 24, 90])  # fewer than the images, more, so few that rows stay
def test_two_partitions_are_left_out_in_one_pass(dims):
    images, ways = textured(20), (groups_of(20, 1), groups_of(20, 6))
    read = []

    def batches(groups):
        for group in groups:
            read.append(group)
            yield Batch(images[group])

    for name in GAUSSIANS:
        detector = detector_of(name, dims=dims).fit([Batch(images)])
        together, _ = ways[0] + ways[1], read.clear()
        found = list(detector.left_out(batches(together), together, Run()))
        assert len(read) <= (20 if dims > 20 else len(together))
        apart = left_out(detector, images, ways[0]) + left_out(detector, images, ways[1])
        for one, other in zip(found, apart, strict=True):
            torch.testing.assert_close(one.map, other.map)


def test_where_a_second_covariance_has_no_room_images_are_not_left_out(monkeypatch):
    for name, more in GAUSSIANS.items():
        detector = detector_of(name, **more).fit([Batch(textured(30))])
        monkeypatch.setattr(gaussian_left_out, "free", lambda device: 1000)
        assert detector.left_out([], groups_of(30, 1), Run()) is None


@pytest.mark.parametrize("more", [{}, {"reweight": True}, {"projected": 16}])
def test_a_memory_leaves_images_out_without_a_bias(more):
    images, groups = textured(16, 64), groups_of(16, 1)
    detector = detector_of("patchcore", ratio=0.1, **more).fit([Batch(images)])
    found = torch.cat([one.score for one in left_out(detector, images, groups)])[::2]
    expected = []
    for group in (groups := groups[::2]):  # each of them is a fit
        others = [number for number in range(16) if number not in group]
        size = len(detector.bank)  # the scores are those of a memory as large as the one that ships
        again = detector_of("patchcore", bank_size=size, **more).fit([Batch(images[others])])
        expected.append(again.predict(images[group]).score)
    share = (found / torch.cat(expected) - 1).mean()
    assert abs(float(share)) < 0.01
    own = detector.predict(images[[group[0] for group in groups]]).score
    assert found.mean() > 1.02 * own.mean()


@pytest.mark.parametrize("size", [1, 3])
def test_a_patch_never_meets_its_own_group(size):
    images, groups = textured(9, 64), groups_of(9, size)
    detector = detector_of("patchcore", ratio=1.0).fit([Batch(images)])  # every patch is kept
    for group, found in zip(groups, left_out(detector, images, groups), strict=True):
        others = [number for number in range(9) if number not in group]
        again = detector_of("patchcore", ratio=1.0).fit([Batch(images[others])])
        torch.testing.assert_close(found.map, again.predict(images[group]).map)


def test_a_memory_that_did_not_hold_all_patches_cannot_leave_images_out():
    detector = detector_of("patchcore", ratio=0.05, two_stage=True).fit([Batch(textured(8, 64))])
    assert detector.left_out([], [], Run()) is None
    detector = detector_of("patchcore", ratio=0.05).fit([Batch(textured(4, 64))])
    detector.update([Batch(10 * textured(4, 64))])
    assert detector.left_out([], [], Run()) is None


@pytest.mark.parametrize("radius", [0.0, 1.5, 9.0])
def test_coresets_without_a_group_have_their_size_and_cover_the_others(radius):
    x, owner = torch.randn(300, 5), torch.arange(300) % 6
    chosen = torch.randperm(300)[:60]
    chosen = chosen[(owner[chosen] != 5) | (torch.rand(60) < 0.3)]
    # 9: no row is that far, and all are asked
    found = list(without_each(x, chosen, radius, owner, lambda rows: rows // 5, True))
    for group, (bank, added, near) in enumerate(found):
        old, own = x[bank[: len(bank) - added]], owner == group
        assert torch.equal(near[own], torch.cdist(x[own], old).argmin(1))
        assert len(bank) == len(set(bank.tolist())) == 50
        assert not (owner[bank] == group).any()
        first = chosen[: len(chosen) // 2]  # the first half stays: three of six times a sixth goes
        kept = first[owner[first] != group]
        assert torch.equal(bank[: len(kept)], kept)
        within = torch.cdist(x[owner != group], x[bank]).min(1).values.max()
        assert within < 1.15 * cover(x[owner != group], 50).radius


def test_the_nearest_patch_of_the_others_is_looked_for_once(monkeypatch):
    images, groups = textured(12, 64), groups_of(12, 1)
    detector = detector_of("patchcore", ratio=0.2).fit([Batch(images)])
    found = left_out(detector, images, groups)

    def searched(patches, bank):
        raise AssertionError("the whole bank is searched")

    monkeypatch.setattr(patchcore, "nearest", searched)
    for one, other in zip(left_out(detector, images, groups), found, strict=True):
        assert torch.equal(one.map, other.map)
    monkeypatch.setattr(patchcore, "nearest", nearest)
    monkeypatch.setattr(patchcore, "without_each", unaided)
    for one, other in zip(left_out(detector, images, groups), found, strict=True):
        torch.testing.assert_close(one.map, other.map)


def unaided(*given, nearest):
    assert nearest
    return (other._replace(near=None) for other in without_each(*given))


def test_where_a_chosen_row_is_dropped_the_nearest_is_not_told():
    x, owner, chosen = torch.randn(60, 5), torch.arange(60) % 6, torch.randperm(60)[:30]
    for bank, added, near in without_each(x, chosen, 1.0, owner, lambda rows: 5, True):
        assert len(bank) == 5 and added == 0 and near is None


def test_the_two_nearest_are_of_two_groups():
    x, owner, chosen = torch.randn(40, 3), torch.arange(40) % 4, torch.randperm(40)[:12]
    first, other, second, another = nearest_of_two(Points.of(x), chosen, owner)
    distances = torch.cdist(x, x[chosen]).square()
    for row in range(40):
        by_group = [distances[row, owner[chosen] == group] for group in range(4)]
        least = torch.stack([d.min() if len(d) else torch.tensor(torch.inf) for d in by_group])
        torch.testing.assert_close(first[row], least.min(), atol=1e-5, rtol=1e-4)
        assert int(other[row]) == int(least.argmin())
        torch.testing.assert_close(second[row], least.sort().values[1], atol=1e-5, rtol=1e-4)
        assert int(another[row]) == int(least.argsort()[1])


def test_features_stand_where_images_would():
    images = torch.randn(5, 3, 64, 32)
    detector = detector_of("padim", dims=8)
    seen = Seen(detector.pyramid(images), (64, 32))
    assert (seen.shape, len(seen), seen.to(torch.device("cpu")).shape) == (
        images.shape,
        5,
        seen.shape,
    )
    assert [len(part) for part in seen.split(2)] == [2, 2, 1] and len(blocks(seen)) == 1
    by_features = detector.fit([Batch(seen)]).predict(images)
    by_images = detector.fit([Batch(images)]).predict(seen)
    torch.testing.assert_close(by_features, by_images)
