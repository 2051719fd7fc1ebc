"""Synthetic defects: masks, textures, blending; and that torch's generator alone decides."""

import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from ad_models import MEAN, STD, synthetic
from ad_models.errors import ConfigError
from ad_models.pixels import normalised, unit
from ad_models.synthetic import (
    ALTERATIONS,
    KINDS,
    Textures,
    altered,
    drawn,
    perlin,
    perlin_masks,
    shuffled,
    spoil,
)

CPU = torch.device("cpu")
SIZE = (48, 70)  # no multiple of any number of cells
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def plain_perlin(y: float, x: float, lattice: torch.Tensor) -> float:
    """One value of the noise from its definition (Perlin 2002)."""
    i, j = math.floor(y), math.floor(x)
    total = 0.0
    for down in (0, 1):
        for right in (0, 1):
            angle = float(lattice[(i + down) % len(lattice), (j + right) % len(lattice)])
            dy, dx = y - i - down, x - j - right
            fade = [1 - (6 * t**5 - 15 * t**4 + 10 * t**3) for t in (abs(dy), abs(dx))]
            total += fade[0] * fade[1] * (math.cos(angle) * dx + math.sin(angle) * dy)
    return math.sqrt(2) * total


def test_perlin_equals_its_definition():
    noise = perlin(1, SIZE, CPU, finest=3)[0]
    torch.manual_seed(0)
    cells = (2 ** torch.randint(0, 4, (1, 2)))[0]
    lattice = 2 * math.pi * torch.rand(1, 9, 9)[0]
    angle = math.pi * float(torch.rand(1)) - math.pi / 2
    for row, column in ((0, 0), (5, 69), (47, 3), (24, 33)):
        r, c = row - 23.5, column - 34.5
        y = ((math.cos(angle) * r - math.sin(angle) * c) / 48 + 0.5) * int(cells[0])
        x = ((math.sin(angle) * r + math.cos(angle) * c) / 70 + 0.5) * int(cells[1])
        assert float(noise[row, column]) == pytest.approx(plain_perlin(y, x, lattice), abs=1e-4)


def test_noise_fills_its_range_and_averages_zero():
    noise = perlin(300, (40, 40), CPU)
    assert noise.abs().max() <= 1 and noise.max() > 0.8 and noise.min() < -0.8
    assert abs(float(noise.mean())) < 0.03


@pytest.mark.parametrize("device", DEVICES)
def test_masks_are_binary_never_empty_and_inside_the_foreground(device):
    device = torch.device(device)
    foreground = torch.zeros(64, 1, *SIZE, device=device)
    foreground[:, :, 10:40, 20:60] = 1
    masks = perlin_masks(64, SIZE, device, foreground=foreground)
    assert masks.shape == (64, 1, *SIZE) and masks.device.type == device.type
    assert set(masks.unique().tolist()) == {0, 1}
    assert masks.flatten(1).amax(1).min() == 1
    assert (masks <= foreground).all()


def test_a_foreground_that_is_empty_gives_empty_masks():
    assert perlin_masks(2, SIZE, CPU, foreground=torch.zeros(2, 1, *SIZE)).max() == 0


def test_masks_cover_from_specks_to_large_areas():
    cover = perlin_masks(400, (64, 64), CPU).mean((1, 2, 3))
    assert cover.min() < 0.005 and cover.max() > 0.2 and 0.02 < cover.mean() < 0.2


@pytest.mark.parametrize("device", DEVICES)
def test_blending_is_the_formula_inside_and_nothing_outside(device):
    images = torch.randn(8, 3, *SIZE, device=device)
    sources = drawn(8, SIZE, images.device)
    out, masks = spoil(images, sources, opacity=(0.3, 0.3))
    mean, std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (MEAN, STD))
    blend = 0.7 * images + 0.3 * (sources - mean) / std
    inside = masks.expand_as(images) > 0
    torch.testing.assert_close(out[inside], blend[inside], atol=1e-5, rtol=1e-5)
    assert torch.equal(out[~inside], images[~inside])
    assert inside.any()


def test_no_opacity_gives_the_image_back_and_opacities_stay_in_their_span():
    images = torch.zeros(200, 3, 16, 16)
    sources = torch.ones_like(images)
    assert torch.equal(spoil(images, sources, opacity=(0, 0))[0], images)
    out, masks = spoil(images, sources, opacity=(0.2, 0.8))
    opacity = (out / normalised(sources))[masks.expand_as(out) > 0]
    assert 0.2 <= opacity.min() < 0.25 and 0.75 < opacity.max() <= 0.8 + 1e-6


def test_share_of_the_images_that_are_spoiled():
    images = torch.randn(400, 3, 8, 8)
    out, masks = spoil(images, torch.rand_like(images), share=0.5, finest=2)
    spoiled = masks.flatten(1).amax(1) > 0
    assert 0.4 < spoiled.float().mean() < 0.6
    assert torch.equal(out[~spoiled], images[~spoiled])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("size", [(64, 64), (33, 50)])
def test_patterns_stay_in_range_and_vary_within_and_between_images(kind, size):
    field = kind(6, size, CPU)
    assert field.shape == (6, *size)
    assert field.min() >= 0 and field.max() <= 1
    assert field.flatten(1).std(1).min() > 0.01
    assert len({float(f.mean()) for f in field}) == 6


@pytest.mark.parametrize("device", DEVICES)
def test_drawn_textures_are_coloured_and_differ(device):
    textures = Textures()(30, SIZE, torch.device(device))
    assert textures.shape == (30, 3, *SIZE) and textures.device.type == device
    assert textures.min() >= 0 and textures.max() <= 1
    assert (textures.std(1).mean((1, 2)) > 0.01).float().mean() > 0.9
    assert len({float(t.mean()) for t in textures}) == 30


def test_textures_of_a_folder(tmp_path):
    (tmp_path / "inner").mkdir()
    for value, name in ((51, "a.png"), (204, "inner/b.PNG")):
        Image.new("L", (30, 20), value).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    textures = Textures(str(tmp_path))(20, SIZE, CPU)
    assert textures.shape == (20, 3, *SIZE)
    values = textures.mean((1, 2, 3)).mul(255).round()
    assert set(values.tolist()) == {51, 204}


def test_a_folder_without_images(tmp_path):
    with pytest.raises(ConfigError, match="no images"):
        Textures(str(tmp_path))


def test_shuffling_keeps_the_pieces():
    images = torch.arange(2 * 3 * 16 * 24.0).view(2, 3, 16, 24)
    out = shuffled(images, 4)
    assert not torch.equal(out, images)

    def pieces(x):
        cut = x.unfold(2, 4, 4).unfold(3, 6, 6).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
        return [{tuple(p.tolist()) for p in image} for image in cut]

    assert pieces(out) == pieces(images)
    assert shuffled(torch.rand(1, 3, 50, 33)).shape == (1, 3, 50, 33)


@pytest.mark.parametrize("which", range(len(ALTERATIONS)))
def test_each_alteration_changes_an_image_and_keeps_its_shape(which):
    image = torch.rand(3, 24, 30) * 0.8 + 0.1
    out = ALTERATIONS[which](image, 0.2)
    assert out.shape == image.shape and out.isfinite().all()
    assert (out - image).abs().max() > 0.05


def test_altered_images_stay_in_range():
    images = torch.rand(12, 3, 24, 30)
    out = altered(images)
    assert out.min() >= 0 and out.max() <= 1
    assert ((out - images).abs().flatten(1).amax(1) > 0.05).all()
    assert torch.equal(altered(images, times=0), images)


def test_the_generator_alone_decides():
    images = torch.randn(6, 3, *SIZE)

    def once():
        sources = altered(torch.cat([drawn(3, SIZE, CPU), shuffled(unit(images[:3]))]).clamp(0, 1))
        return spoil(images, sources)

    state = torch.get_rng_state()
    first, other = once(), once()
    torch.set_rng_state(state)
    again = once()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    text = Path(synthetic.__file__).read_text()
    assert "numpy" not in text and "import random" not in text


@pytest.mark.gpu
def test_a_gpu_paints_the_same_defects():
    images = torch.randn(16, 3, *SIZE)
    torch.manual_seed(1)
    here, masks = spoil(images, drawn(16, SIZE, CPU))
    torch.manual_seed(1)
    gpu = torch.device("cuda")
    there, gpu_masks = spoil(images.cuda(), drawn(16, SIZE, gpu))
    assert (masks != gpu_masks.cpu()).float().mean() < 1e-3  # rounding at the threshold
    assert (here - there.cpu()).abs().gt(1e-2).float().mean() < 1e-2


def test_unit_undoes_normalised():
    colours = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(unit(normalised(colours)), colours)
    white = normalised(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white[0], torch.tensor((1 - 0.485) / 0.229))
