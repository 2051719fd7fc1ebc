"""Measures against scipy, scikit-image-like formulas by hand, and the standard library."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tasks.checks.manifest import (
    COLUMNS,
    manifest_frame,
    read_image_manifest,
    scan_images,
    write_image_manifest,
)
from tasks.images.measures import dhash, sharpness
from tasks.workspace.errors import DataError

RNG = np.random.default_rng(1)
DATASETS = Path(
    os.environ.get("INSPECTLINE_DATASETS", Path(__file__).parents[4] / "shared" / "datasets")
)


def build_image_manifest(images, workers=2):
    """The manifest of the images, as a table."""
    return manifest_frame(scan_images(images, workers).rows)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    save(root / "train/good/b.PNG", RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8))
    save(root / "train/good/ä.jpg", RNG.integers(0, 256, (16, 16), dtype=np.uint8))
    save(root / "test/crack/1.bmp", RNG.integers(0, 256, (24, 24), dtype=np.uint8))
    mask = np.zeros((24, 24), np.uint8)
    mask[2:5, 2:5] = mask[5, 5] = mask[10:12, 10:12] = 255  # (5, 5) touches by its corner
    save(root / "ground_truth/crack/1_mask.png", mask)
    (root / "train/good/Thumbs.db").write_text("x")
    return root


def test_rows_tell_what_the_files_are(images: Path):
    frame = build_image_manifest(images).set_index("path")
    assert list(frame.index) == ["test/crack/1.bmp", "train/good/b.PNG", "train/good/ä.jpg"]
    row = frame.loc["train/good/b.PNG"]
    assert (row.width, row.height, row.channels, row.bits, row.format) == (30, 20, 3, 8, "PNG")
    data = (images / "train/good/b.PNG").read_bytes()
    assert (row.bytes, row.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    row = frame.loc["test/crack/1.bmp"]
    assert (row.split, row.label, row["mask"]) == ("test", "crack", "ground_truth/crack/1_mask.png")
    assert (row.mask_width, row.mask_height, row.mask_regions) == (24, 24, 2)
    assert row.mask_share == pytest.approx(14 / 576)


def test_brightness_and_sharpness(images: Path):
    row = build_image_manifest(images).set_index("path").loc["test/crack/1.bmp"]
    grey = np.asarray(Image.open(images / "test/crack/1.bmp"), float) / 255
    assert row.brightness == pytest.approx(grey.mean(), abs=1e-6)
    expected = ndimage.laplace(grey)[1:-1, 1:-1].var()
    assert row.sharpness == pytest.approx(expected, rel=1e-4)


def test_sharpness_falls_with_blur_and_is_zero_when_flat():
    grey = RNG.random((64, 64), np.float32)
    assert sharpness(ndimage.gaussian_filter(grey, 2)) < sharpness(grey) / 10
    assert sharpness(np.full((8, 8), 0.5, np.float32)) == 0
    assert sharpness(grey[:2]) == 0


def test_dhash_compares_neighbours():
    rising = np.tile(np.arange(9, dtype=np.float32), (8, 1))
    assert dhash(rising) == "f" * 16
    assert dhash(rising[:, ::-1].copy()) == "0" * 16


def test_csv_round_trip_and_equal_bytes(images: Path, tmp_path: Path):
    (images / "train/good/broken.png").write_text("text")
    frame = build_image_manifest(images)
    write_image_manifest(frame, tmp_path / "a.csv")
    write_image_manifest(build_image_manifest(images, workers=1), tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    again = read_image_manifest(tmp_path / "a.csv")
    assert list(again.columns) == list(COLUMNS)
    assert again.equals(frame)
    assert not list(tmp_path.glob("*.partial"))


def test_unreadable_files_have_an_error(images: Path):
    (images / "train/good/text.png").write_text("hello")
    (images / "train/good/zero.png").touch()
    (images / "train/good/x.gif").write_bytes(b"GIF89a")
    (images / "loose.png").write_text("x")
    (images / "ground_truth/crack/1_mask.png").write_text("x")
    errors = build_image_manifest(images).set_index("path").error
    assert "not an image" in errors["train/good/text.png"]
    assert "empty" in errors["train/good/zero.png"]
    assert "not supported" in errors["train/good/x.gif"]
    assert "expected train/good" in errors["loose.png"]
    assert "ground_truth/crack/1_mask.png" in errors["test/crack/1.bmp"]
    assert errors["train/good/b.PNG"] == ""
    assert not errors.str.contains(str(images)).any()


def test_missing_folder_and_manifest(tmp_path: Path):
    with pytest.raises(DataError, match="no such folder"):
        build_image_manifest(tmp_path / "none")
    with pytest.raises(DataError, match="no such manifest"):
        read_image_manifest(tmp_path / "none.csv")


@pytest.mark.skipif(not DATASETS.is_dir(), reason=f"no data sets at {DATASETS}")
def test_real_images():
    frame = build_image_manifest(DATASETS / "piped_paper" / "PA_BDP01_TL")
    assert len(frame) == 96
    assert (frame.error == "").all()
    assert (frame[frame.label != "good"].mask_share > 0).all()
