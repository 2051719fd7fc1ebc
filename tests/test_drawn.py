"""Pictures drawn by formula, and what is learnt from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ad_models import pretrain
from ad_models.drawn import flaws, shapes, shelf, surfaces
from ad_models.drawn.canvas import Canvas, edge
from ad_models.drawn.episodes import CROP, episode
from ad_models.drawn.products import FEWEST, VISIBLE, Product

AT = Canvas(64)


def test_a_seed_is_a_product_and_a_number_a_picture():
    product = Product.drawn(3, 64)
    assert product == Product.drawn(3, 64) != Product.drawn(4, 64)
    first, mask = product.picture(AT, 1, defective=False)
    again, _ = product.picture(AT, 1, defective=False)
    other, _ = product.picture(AT, 2, defective=False)
    assert first.shape == (64, 64, 3) and first.dtype == np.uint8 and not mask.any()
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("seed", range(12))
def test_a_mask_is_where_the_defect_changed_the_picture(seed):
    """Before the camera, whose noise and blur are turned off here."""
    product = replace(Product.drawn(seed, 64), noise=0.0, blur=1e-6)
    good, _ = product.picture(AT, seed, defective=False)
    bad, mask = product.picture(AT, seed, defective=True)
    assert FEWEST <= mask.sum() < mask.size / 2
    apart = np.abs(bad.astype(int) - good).max(-1)
    assert apart[~mask].max() <= 255 * VISIBLE + 1
    if not product.grey:  # there the camera joins colours
        assert apart[mask].min() >= 255 * VISIBLE - 1


@pytest.mark.parametrize("texture", sorted(set(surfaces.TEXTURES), key=lambda one: one.__name__))
def test_textures_are_fields_of_numbers_about_a_half(texture):
    for seed in range(4):
        field = texture(AT, np.random.default_rng(seed), np.random.default_rng(seed + 9))
        assert field.shape == (64, 64) and np.isfinite(field).all()
        assert -0.5 <= np.quantile(field, 0.05) <= np.quantile(field, 0.95) <= 1.5


@pytest.mark.parametrize("shape", sorted(set(shapes.SHAPES), key=lambda one: one.__name__))
def test_shapes_have_an_inside_and_end(shape):
    p, q = AT.frame((0, 0), 0.3)
    for seed in range(4):
        inside = edge(shape(np.random.default_rng(seed), p, q, 16.0))
        assert 0 < inside.sum() < 0.6 * inside.size


@pytest.mark.parametrize("flaw", sorted(set(flaws.FLAWS), key=lambda one: one.__name__))
def test_flaws_change_a_small_part(flaw):
    image = np.clip(0.5 + 0.1 * AT.noise(np.random.default_rng(0), 2), 0, 1)
    image = np.repeat(image[..., None], 3, -1).astype(np.float32)
    changed = [
        (np.abs(flaw(AT, np.random.default_rng(seed), image, False) - image).max(-1) > 0.01).mean()
        for seed in range(8)
    ]
    assert 0 < np.median(changed) < 0.4


def test_files_are_drawn_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "PRODUCTS", 2)
    path = shelf.draw_file(tmp_path, 1)
    before = path.stat().st_mtime_ns
    assert shelf.draw_file(tmp_path, 1) == path and path.stat().st_mtime_ns == before
    assert [one.name for one in tmp_path.iterdir()] == ["0001.npy"]
    shelf.draw_file(tmp_path, 0)
    stock = shelf.Shelf(tmp_path, range(2))
    assert len(stock) == 4
    assert (stock[3] == shelf.pictures(3)).all() and stock[3].shape == (7, 144, 144, 4)
    assert not stock[3][: shelf.GOOD, ..., 3].any()


def test_an_episode_moves_masks_with_their_pictures():
    pictures = np.zeros((2, shelf.SIDE, shelf.SIDE, 4), np.uint8)
    pictures[:, 60:84, 60:84] = 255  # white where defective
    for seed in range(6):
        images, masks = episode(pictures, np.random.default_rng(seed))
        assert images.shape == (2, 3, CROP, CROP) and masks.shape == (2, 1, CROP, CROP)
        inside = images.mean(1, keepdim=True)[masks > 0]
        outside = images.mean(1, keepdim=True)[masks == 0]
        same = (inside.median() - outside.median()).abs()
        assert same > 1 and masks.sum() > 200


def test_the_loss_counts_pairs_in_the_wrong_order():
    """Of one product on a 4 x 4 grid whose good patches are 0: a defect far away, or at 0 while a
    good patch is far away."""
    learner = pretrain.Learner()
    patches = torch.zeros(1, 7, 16, 2)
    share, near = torch.zeros(7, 16), torch.zeros(7, 16)
    share[6, 5], near[6, 5] = 1, 1
    patches[0, 6, 5] = 3.0
    right, order = learner.ranked(patches, share, near)
    assert float(order) == 1 and float(right) < 1e-3
    wrong = torch.zeros_like(patches)
    wrong[0, 5, 2] = 3.0
    loss, order = learner.ranked(wrong, share, near)
    assert float(order) == 0 and float(loss) > float(right) + 1


def test_a_training_that_was_stopped_goes_on_with_the_same_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(shelf, "PRODUCTS", 2)
    monkeypatch.setattr(pretrain, "SAVED", 2)
    shelf.draw_file(tmp_path, 0)
    stock, recipe = shelf.Shelf(tmp_path, range(1)), pretrain.Recipe(steps=3, products=2)
    whole = pretrain.train(stock, recipe, tmp_path / "whole.pt").net.state_dict()
    checkpoint = tmp_path / "stopped.pt"
    stopped = pretrain.episode
    calls = iter(range(9))  # the third step breaks off
    monkeypatch.setattr(pretrain, "episode", lambda *a: stopped(*a) if next(calls) < 4 else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pretrain.train(stock, recipe, checkpoint)
    monkeypatch.setattr(pretrain, "episode", stopped)
    rest = pretrain.train(stock, recipe, checkpoint).net
    assert all(torch.equal(value, whole[name]) for name, value in rest.state_dict().items())
    pretrain.write(rest, tmp_path / "out.safetensors", "3 steps")
    assert (tmp_path / "out.safetensors").stat().st_size < 1_000_000
