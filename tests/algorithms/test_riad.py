import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, uniform_filter

from ad_models import Batch, create
from ad_models.algorithms.riad import assign, flipped
from ad_models.errors import ConfigError, InputError
from ad_models.pixels import unit
from tests.algorithms.strokes import batches, discs, found

SMALL = {"widths": (8, 16, 32), "cells": (4, 8), "window": 7, "lr": 3e-3}


def detector(**more):
    return create("riad", **SMALL | more)


def test_painted_strokes_are_found():
    at = found(detector(epochs=10, cells=(8,)).fit(batches()))
    assert at.image > 0.95 and at.pixel > 0.9


@pytest.mark.parametrize("cell", [2, 4, 8, 16])
def test_the_sets_cover_each_pixel_once_with_whole_cells(cell):
    owner = assign((64, 48), cell, 3)
    masks = torch.stack([owner == number for number in range(3)])
    assert torch.equal(masks.sum(0), torch.ones(64, 48, dtype=torch.long))
    cells = owner.unfold(0, cell, cell).unfold(1, cell, cell).flatten(2)
    assert (cells == cells[..., :1]).all()
    counts = torch.bincount(cells[..., 0].flatten(), minlength=3)
    assert counts.max() - counts.min() <= 1


def test_cells_may_be_cut_at_the_border():
    assert assign((30, 20), 16, 3).shape == (30, 20)


def test_no_pixel_sees_itself():
    model = detector().eval()
    images = torch.rand(1, 3, 32, 32)
    owner = assign((32, 32), 8, 3)
    with torch.no_grad():
        before = model.repaint(images, owner)
        changed = images + 0.3 * (owner == 1)
        after = model.repaint(changed, owner)
    assert torch.equal(before[..., owner == 1], after[..., owner == 1])
    assert not torch.equal(before[..., owner == 0], after[..., owner == 0])


def test_a_perfect_painter_leaves_nothing_to_see():
    model = detector()
    images = unit(discs(2, 0))
    assert model.loss(images, images).item() == pytest.approx(0, abs=1e-5)
    assert model.difference(images, images).abs().max() < 1e-6
    other = model.difference(images, torch.rand_like(images))
    assert other.min() >= 0 and other.max() <= 1


def test_each_image_is_flipped_by_two_coins():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 4, 6).expand(400, -1, -1, -1)
    ways = [images.flip(dims) for dims in ((), (-1,), (-2,), (-1, -2))]
    made = flipped(images)
    seen = torch.stack([(made == way).flatten(1).all(1) for way in ways])
    assert (seen.sum(0) == 1).all() and (seen.sum(1) > 60).all()


def test_flips_are_learnt_from_only_where_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr("ad_models.algorithms.riad.flipped", lambda x: asked.append(1) or x)
    detector(epochs=1).fit(batches(8))
    assert not asked
    detector(epochs=1, flips=True).fit(batches(8))
    assert asked


def test_the_map_is_blurred_by_the_filter_or_the_gaussian():
    maps = torch.rand(1, 1, 40, 30, dtype=torch.float64)
    plain = maps[0, 0].numpy()
    mean = uniform_filter(plain, 7, mode="nearest")
    found = detector().smoothed(maps)[0, 0].numpy()
    np.testing.assert_allclose(found, mean, atol=1e-12)
    gaussian = gaussian_filter(plain, 7)
    found = detector(sigma=7.0).smoothed(maps)[0, 0].numpy()
    np.testing.assert_allclose(found, gaussian, atol=1e-12)


def test_the_passes_add_up_to_the_image(monkeypatch):
    model = detector()
    images = torch.full((1, 3, 32, 32), 0.3)
    monkeypatch.setattr(model.net, "forward", lambda x: torch.full_like(x, 0.3).logit())
    torch.testing.assert_close(model.repaint(images, assign((32, 32), 4, 3)), images)


def test_weights_of_the_losses_count():
    images, painted = torch.rand(2, 1, 3, 32, 32)
    pixels = detector(gms=0.0, ssim=0.0).loss(images, painted)
    assert pixels.item() == pytest.approx(((images - painted) ** 2).mean().item())
    parts = [
        detector(gms=g, ssim=s).loss(images, painted) - pixels for g, s in [(1.0, 0.0), (0.0, 1.0)]
    ]
    both = detector(gms=2.0, ssim=3.0).loss(images, painted)
    assert both.item() == pytest.approx((pixels + 2 * parts[0] + 3 * parts[1]).item(), rel=1e-5)


def test_another_size_is_refused():
    model = detector(epochs=1).fit([Batch(discs(2, 0))])
    with pytest.raises(InputError, match="fitted on images of"):
        model.predict(torch.zeros(1, 3, 32, 64))


@pytest.mark.parametrize("wrong", [{"cells": ()}, {"sets": 1}, {"window": 20}, {"widths": (8,)}])
def test_out_of_range(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        create("riad", **wrong)
