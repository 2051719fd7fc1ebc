"""What an algorithm is to those who use it by itself."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import ad_models
from ad_models import ALGORITHMS, Batch, Detector, Run, create, heat_maps, kind, load
from ad_models.batch import batches
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


@pytest.fixture(scope="module")
def fitted() -> Detector:
    return create("padim", backbone="drawnet", dims=20).fit([IMAGES])


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
    both = [
        create("padim", backbone="drawnet", dims=20).fit(loader)
        for loader in ([Batch(part) for part in IMAGES.split(2)], DataLoader(IMAGES, batch_size=2))
    ]
    one, other = (detector.predict(IMAGES) for detector in both)
    assert torch.equal(one.score, other.score)


class Foreign:
    """A batch of another library: images beside other things."""

    image = IMAGES


@pytest.mark.parametrize("loader", [DataLoader(TensorDataset(IMAGES), batch_size=6), [Foreign()]])
def test_images_alone_in_a_list_or_as_an_attribute_are_taken(loader: object) -> None:
    [batch] = batches(loader)  # type: ignore[arg-type]
    assert isinstance(batch, Batch) and torch.equal(batch.image, IMAGES)


@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (
            DataLoader(TensorDataset(IMAGES, IMAGES)),
            r"got list of 2; .*\[images for images, \*_",
        ),
        ([{"image": IMAGES}], r"got dict; .*one\['image'\]"),
        (IMAGES, r"got a tensor \(3, 64, 64\); .*images.split\(16\)"),
        ([IMAGES[:, :1]], r"float32 images \(B, 3, H, W\), normalised"),
        ([(255 * IMAGES).to(torch.uint8)], "got torch.uint8; divide by 255"),
        ([IMAGES.abs() * 100], "divide 0..255 by 255 first"),
        ([IMAGES * torch.nan], "got nan"),
    ],
)
def test_what_a_loader_has_to_yield_is_said(loader: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(batches(loader))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES[0], r"got torch.float32 \(3, 64, 64\)"),
        ([IMAGES], "one batch of a loader at a time, got list"),
        (Batch(IMAGES), "got Batch"),
    ],
)
def test_what_predict_takes_is_said(fitted: Detector, images: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fitted.predict(images)


@pytest.mark.parametrize("algorithm", ["padim", "semi_orthogonal"])
def test_images_of_another_size_than_the_fit_are_refused(algorithm: str) -> None:
    fitted = create(algorithm, backbone="drawnet", dims=20).fit([IMAGES])
    with pytest.raises(InputError, match=r"256 positions, and images of \(64, 96\) have 384"):
        fitted.predict(torch.zeros(1, 3, 64, 96))


def test_files_go_by_name_into_folders_that_exist(fitted: Detector, tmp_path: Path) -> None:
    fitted.save(str(tmp_path / "one.safetensors"))
    assert torch.equal(
        load(tmp_path / "one.safetensors").predict(IMAGES).score, fitted.predict(IMAGES).score
    )
    for write in (fitted.save, lambda path: fitted.export(path, 64)):
        with pytest.raises(FileNotFoundError, match=r"there is no folder .*none; make it"):
            write(str(tmp_path / "none" / "file"))


def test_a_device_may_be_named() -> None:
    assert Run("cpu").device == torch.device("cpu")  # type: ignore[arg-type]


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


def test_the_code_of_the_page_of_algorithms_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bottle/train/good").mkdir(parents=True)
    for number in range(2):
        pixels = np.full((40, 60, 3), 100 + number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"bottle/train/good/{number}.png")
    page = (ROOT / "docs/algorithms.md").read_text()
    pieces = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    code = "".join(pieces)
    for told, here in {"resnet18": "drawnet", "cuda": "cpu", "(256, 256)": "(64, 64)"}.items():
        assert told in code
        code = code.replace(told, here)
    masks = torch.zeros(6, 64, 64)
    masks[0, :8] = 1
    known = {"loader": IMAGES.split(3), "images": IMAGES, "labels": [1, 0, 0, 0, 0, 0]}
    known |= {"masks": masks, "print": lambda _: None}
    exec(code, known)
    assert set(known["metrics"].compute()) == {
        *("pixel_auroc", "pixel_ap", "pixel_f1_max", "aupro_30", "aupro_05")
    }
    assert known["detector"].record["images"] == 2 and (tmp_path / "part.png").exists()


def test_every_name_of_the_package_is_there() -> None:
    assert all(hasattr(ad_models, name) for name in ad_models.__all__)
