"""What an algorithm is to those who use it by itself."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import ad_models
from ad_models import ALGORITHMS, Batch, create, heat_maps, kind
from ad_models.errors import ConfigError, InputError
from ad_models.imagenet import MEAN, STD

ROOT = Path(__file__).parents[1]
PACKAGES = ("ad_models", "tasks", "flows")
SHOWN = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".").removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if ">>> " in path.read_text()
)
IMAGES = torch.randn(6, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("module", SHOWN)
def test_examples_in_docstrings_are_true(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted and not found.failed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_class_says_its_paper_and_its_idea(algorithm: str) -> None:
    said = kind(algorithm).__doc__ or ""
    assert "http" in said and "Idea" in said


@pytest.mark.parametrize(
    ("algorithm", "backbone", "dims"),
    [
        ("padim", "resnet18", 100),
        ("padim", "wide_resnet50_2", 550),
        ("padim", "resnet34", 448),
        ("semi_orthogonal", "resnet18", 100),
    ],
)
def test_dims_follow_the_backbone(algorithm: str, backbone: str, dims: int) -> None:
    detector = create(algorithm, backbone=backbone, weights="random")
    kept = detector.kept if algorithm == "padim" else detector.basis
    assert kept.shape[-1] == dims
    with pytest.raises(ConfigError, match=r"dims is 9000, but .* gives"):
        create(algorithm, backbone=backbone, weights="random", dims=9000)


def test_a_loader_may_yield_images_alone() -> None:
    fitted = [
        create("padim", backbone="drawnet", dims=20).fit(loader)
        for loader in ([Batch(part) for part in IMAGES.split(2)], DataLoader(IMAGES, batch_size=2))
    ]
    one, other = (detector.predict(IMAGES) for detector in fitted)
    assert torch.equal(one.score, other.score)


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (DataLoader(TensorDataset(IMAGES)), "got list"),
        ([IMAGES[0]], r"got a tensor \(3, 64, 64\)"),
        ([IMAGES[:, :1]], r"float32 images \(B, 3, H, W\), normalised"),
        ([(255 * IMAGES).to(torch.uint8)], "got torch.uint8; divide by 255"),
    ],
)
def test_what_a_loader_has_to_yield_is_said(loader: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        create("padim", backbone="drawnet", dims=20).fit(loader)  # type: ignore[arg-type]


def test_heat_maps_stand_beside_their_images() -> None:
    white = (1 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    images, maps = white.expand(2, 3, 32, 40), torch.zeros(2, 1, 32, 40)
    maps[1, 0, 8:16] = 5.0
    plain, hot = (np.asarray(one) for one in heat_maps(images, maps, limit=2.5))
    assert plain.shape == (32, 80, 3) and (plain == 255).all()  # a good part looks like one
    assert (hot[:, :40] == 255).all() and hot[8:16, 40:, 2].max() < 210 and (hot[16:] == 255).all()
    for wrong in ((images, maps[:1], 1.0), (images, maps, 0.0)):
        with pytest.raises(InputError):
            heat_maps(*wrong)


def test_every_name_of_the_package_is_there() -> None:
    assert all(hasattr(ad_models, name) for name in ad_models.__all__)
