"""Cameras of 8 to 14 bits in images of 16: the range is told, proposed, and scaled by."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tasks.checks.duplicates import near_duplicates
from tasks.checks.manifest import manifest_frame, scan_images
from tasks.checks.used_bits import bits_warnings, brightened, used_bits
from tasks.images.preprocess import Preprocess, gain
from tasks.images.read_image import read_image
from tasks.products.image_summary import summarise_images
from tasks.products.proposal import proposed_spec, spec_conflicts
from tasks.spec.recipe import product_recipe
from tasks.spec.schema import Image as ImageSpec
from tasks.validate import check_images

pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")
CAMERAS = (8, 10, 12, 14, 16)


def product(folder: Path, bits: int, count: int = 5) -> Path:
    """A product of random pictures that use so many bits of 16, each quite another picture."""
    rng = np.random.default_rng(bits)
    for number in range(count):
        path = folder / "images" / "train" / "good" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.uniform(0.2, 0.95, (4, 4))
        pixels = np.kron(coarse, np.ones((8, 8))) + rng.uniform(0, 0.05, (32, 32))
        Image.fromarray((pixels * ((1 << bits) - 1)).astype(np.uint16)).save(path)
    return folder / "images"


@pytest.mark.parametrize("bits", CAMERAS)
def test_the_bits_in_use_are_found_in_any_exposure(bits: int):
    for exposure in (0.3, 0.5, 0.8, 1.0):
        brightest = int(exposure * ((1 << bits) - 1))
        assert used_bits({"a": brightest, "b": 1}) == (None if bits == 16 else bits)
    assert used_bits({}) is None


@pytest.mark.parametrize("bits", CAMERAS[:-1])
def test_scaled_images_are_those_of_a_camera_with_all_bits(tmp_path: Path, bits: int):
    path = product(tmp_path, bits, 1) / "train/good/0.png"
    image = read_image(path)
    seen = Preprocess(ImageSpec(size=(32, 32), bits=bits))(image)
    whole = Preprocess(ImageSpec(size=(32, 32)))(image * np.float32(gain(bits)))
    np.testing.assert_array_equal(seen, whole)
    largest = float(Preprocess(ImageSpec(bits=bits)).view(image).max())
    assert 0.5 < largest <= 1


@pytest.mark.parametrize("bits", CAMERAS)
def test_the_bits_are_told_and_no_repeats_are_found_for_being_dark(tmp_path: Path, bits: int):
    found = scan_images(product(tmp_path, bits))
    reasons = [one["reason"] for one in bits_warnings(found, None)]
    assert len(reasons) == (bits < 16) and all(f"image.bits: {bits}" in text for text in reasons)
    assert bits_warnings(found, 15 if bits == 16 else bits) == [] or bits == 16
    assert bits == 8 or "raise it" in bits_warnings(found, 8)[0]["reason"]
    assert near_duplicates(manifest_frame(found.rows), brightened(found), 64, 1.0) == {}


def test_validation_holds_the_images_against_the_spec(tmp_path: Path):
    images = product(tmp_path, 12)
    Image.fromarray(np.eye(32, dtype=np.uint8) * 90 + 100).save(images / "train/good/8.png")
    result = check_images(images, tmp_path / "a", bits=10)
    reasons = {one["check"]: one["reason"] for one in result.warnings}
    assert "image.bits 10 has none above 1023" in reasons["bits_used"]
    [failure] = [one for one in result.failures if one["check"] == "bits_used"]
    assert failure["file"] == "train/good/8.png" and not result.passed


@pytest.mark.parametrize("bits", CAMERAS)
def test_a_new_product_is_proposed_them(tmp_path: Path, bits: int):
    seen = summarise_images(product(tmp_path, bits))
    spec = yaml.safe_load(proposed_spec("cap", seen))
    assert spec["image"].get("bits") == (None if bits == 16 else bits)
    path = tmp_path / "product.yaml"
    path.write_text(yaml.safe_dump({"image": {"bits": 11}}))
    [conflict] = spec_conflicts(path, seen)
    assert conflict.startswith("image.bits is 11, and these images use")


def test_a_recipe_without_the_key_is_the_one_of_before(tmp_path: Path):
    (tmp_path / "data/cap").mkdir(parents=True)
    (tmp_path / "params.yaml").write_text("defaults: {algorithms: [padim]}\n")
    spec = tmp_path / "data/cap/product.yaml"
    spec.write_text("image: {size: 64}\n")
    plain = product_recipe(tmp_path, "cap")
    assert "image" not in plain["validate"] and "bits" not in plain["fit"]["padim"]["image"]
    spec.write_text("image: {size: 64, bits: 12}\n")
    told = product_recipe(tmp_path, "cap")
    assert told["validate"]["image"] == {"bits": 12} and told["fit"]["padim"]["image"]["bits"] == 12
