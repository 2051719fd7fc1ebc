import pytest
import torch

from ad_models import Batch, Run, create
from ad_models.coreset import project
from ad_models.errors import ConfigError, InputError


def fitted(images, **more):
    parameters = {"backbone": "resnet18", "weights": "random", "ratio": 1.0} | more
    return create("patchcore", **parameters).fit([Batch(images)])


def test_a_remembered_image_scores_zero():
    images = torch.randn(3, 3, 64, 64)
    assert fitted(images).predict(images).score.abs().max() < 1e-4


def test_distances_of_unit_patches_are_of_angles():
    """|a - b|^2 = 2 - 2 cos of the angle, of the patches as they are without it."""
    images, query = torch.randn(2, 3, 64, 64), torch.randn(1, 3, 64, 64)
    torch.manual_seed(0)
    detector = fitted(images, unit=True)
    plain = create("patchcore", backbone="resnet18", weights="random", ratio=1.0)
    with torch.no_grad():
        bank, asked = (plain.embed(x)[0].flatten(0, 1).double() for x in (images, query))
    cosine = torch.nn.functional.cosine_similarity(asked[:, None], bank[None], dim=-1).amax(1)
    expected = (2 - 2 * cosine).sqrt().max()
    assert float(detector.predict(query).score) == pytest.approx(float(expected), rel=1e-3)


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


@pytest.mark.parametrize(
    "wrong",
    [{"ratio": 0}, {"ratio": 1.5}, {"neighbourhood": 2}, {"bank_size": 0}, {"memory_budget": 0}],
)
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("patchcore", backbone="resnet18", weights="random", **wrong)


def parted(images, size):
    return [Batch(part) for part in images.split(size)]


def test_the_bank_is_the_same_in_memory_and_on_disk(monkeypatch):
    from ad_models.algorithms import patchcore

    images = torch.randn(8, 3, 64, 64)
    whole = fitted(images, ratio=0.1, projected=16)
    said = []
    room = 4 * 50 * 256 + 512 * (4 * 16 + 24)  # the bank, and the projections of all patches
    monkeypatch.setattr(patchcore, "peak", lambda device: 0)
    working = 4 * 8 * 64 * 256 * 4
    bounded = create(
        "patchcore", backbone="resnet18", weights="random", ratio=0.1, projected=16,
        memory_budget=(room + working + 2000) / 1e9,
    ).fit([Batch(images)], Run(say=said.append))  # fmt: skip
    assert "which wait in" in said[0]
    assert torch.equal(whole.bank, bounded.bank) and whole.radius == bounded.radius


def test_a_fit_says_what_it_will_take_and_records_what_it_did():
    said, seen = [], []
    run = Run(say=said.append, report=seen.append, report_every=0)
    images = torch.randn(6, 3, 64, 64)
    detector = create("patchcore", backbone="resnet18", weights="random", bank_size=30)
    detector.fit(parted(images, 3), run)
    assert len(said) == 1 and "a bank of 30 of 384 patches x 256, chosen from all" in said[0]
    assert detector.record["bank"] == len(detector.bank) == 30
    assert seen[-1].metrics["covering_radius"] == pytest.approx(float(detector.radius))
    with torch.no_grad():
        patches = detector.embed(images)[0].flatten(0, 1)
    narrow, bank = (project(x, 128, 0) for x in (patches, detector.bank))
    assert float(detector.radius) == pytest.approx(
        float(torch.cdist(narrow, bank).min(1).values.max()), rel=1e-4
    )


def test_two_stages_find_what_one_does():
    images = torch.randn(12, 3, 64, 64)
    query = torch.randn(4, 3, 64, 64)
    query[2:, :, 16:48, 16:48] += 3
    one, two = (fitted(images, ratio=0.05, two_stage=way).predict(query) for way in (False, True))
    torch.testing.assert_close(one.score, two.score, rtol=0.1, atol=0)
    assert two.score[2:].min() > 1.2 * two.score[:2].max()


def test_a_fit_that_cannot_fit_is_refused_at_once():
    with pytest.raises(InputError, match="memory_budget"):
        fitted(torch.randn(2, 3, 64, 64), memory_budget=0.000001)


def test_an_update_covers_the_new_patches_and_keeps_the_size():
    images, others = torch.randn(6, 3, 64, 64), torch.randn(3, 3, 64, 64)
    others[:, :, 16:48, 16:48] += 4  # what the first images never showed, and is good all the same
    detector = fitted(images, ratio=0.2)
    before = detector.predict(others).score
    size = len(detector.bank)
    detector.update(parted(others, 2))
    assert len(detector.bank) == size
    assert detector.predict(others).score.max() < 0.8 * before.min()
    with torch.no_grad():
        patches = detector.embed(torch.cat([images, others]))[0].flatten(0, 1)
    narrow, bank = (project(x, 128, 0) for x in (patches, detector.bank))
    assert torch.cdist(narrow, bank).min(1).values.max() <= detector.radius * 1.0001


def test_an_update_with_what_is_known_changes_nothing():
    images = torch.randn(4, 3, 64, 64)
    detector = fitted(images, ratio=0.2, reweight=True)
    bank, around = detector.bank.clone(), detector.around.clone()
    detector.update(parted(images, 3))
    assert torch.equal(bank, detector.bank) and torch.equal(around, detector.around)


@pytest.mark.slow
def test_of_large_images_only_candidates_are_held():
    from tests.benchmarks.bench_highres import Drawn

    said = []
    detector = create(
        "patchcore", backbone="resnet18", weights="random", bank_size=200, two_stage=True
    ).fit(Drawn(12, 512), Run(say=said.append))
    assert detector.record["patches"] == 12 * 4096
    assert 4 * 200 <= detector.record["candidates"] <= 20 * 200
    assert "a coreset of each image" in said[0]
