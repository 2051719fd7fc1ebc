"""The size that `new` proposes follows from the shapes of the images, and says what it shows."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tasks.images.tiles import count_tiles
from tasks.products.detail import detail
from tasks.products.image_summary import LONGEST, SIDE, ImageSummary, summarise_images
from tasks.products.proposal import proposed_spec
from tasks.spec.schema import Product


def summary(*shapes: tuple[int, int]) -> ImageSummary:
    """Of images of these heights and widths."""
    counts = {shape: shapes.count(shape) for shape in shapes}
    return ImageSummary(len(shapes), False, False, counts, False, None)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((512, 512), (256, 256)),
        ((128, 128), (256, 256)),
        ((64, 64), (128, 128)),  # enlarged twice, and no more
        ((500, 1260), (256, 640)),
        ((1260, 500), (640, 256)),
        ((3000, 4000), (256, 352)),
        ((400, 8000), (128, 2304)),  # the area is bounded
        ((40, 2000), (64, 3616)),
        ((20, 30000), (32, 16384)),  # the longest side that a spec takes
    ],
)
def test_the_shorter_side_is_256_pixels(shape: tuple[int, int], size: tuple[int, int]):
    assert summary(shape).size == size


def test_shapes_of_all_lengths_are_kept_within_the_bound():
    for height in (31, 90, 256, 700, 3000):
        for width in (31, 90, 256, 700, 3000):
            h, w = summary((height, width)).size
            assert h % 32 == w % 32 == 0 and min(h, w) <= SIDE
            assert h * w <= 1.25 * LONGEST * SIDE**2  # rounded to multiples
            assert 0.7 < (w / h) / (width / height) < 1.34


def test_the_size_of_several_is_the_one_in_the_middle():
    assert summary((300, 400), (300, 410), (900, 1200)).size == (256, 352)
    assert not summary((300, 400), (300, 410), (900, 1200)).differ
    assert summary((300, 400), (400, 300)).differ
    assert not summary((300, 400)).differ


def image_of(seen: ImageSummary) -> tuple[str, dict]:
    """The proposal, and what it says of images; it is a spec."""
    text = proposed_spec("cap", seen)
    Product.model_validate(yaml.safe_load(text))
    return text, yaml.safe_load(text)["image"]


def test_a_spec_says_how_fine_it_shows_the_picture():
    text, image = image_of(summary((500, 1260)))
    assert image == {"size": [256, 640], "color": "rgb"}
    assert "is 16 x 16 pixels of the picture" in text
    finer = next(line for line in text.splitlines() if line.startswith("  # size:"))
    taken = yaml.safe_load(finer.replace("# ", "", 1))
    assert taken == {"size": [512, 1280]} and "4 times as long" in finer
    tiled = count_tiles((512, 1280), 256) * 256**2 // (256 * 640)
    assert f"{tiled} times with `tile: 256`" in finer


def test_a_finer_size_is_offered_only_where_there_is_more_to_see():
    assert detail(summary((256, 256))) is None
    assert detail(summary((128, 128))) is None
    phone = detail(summary((3000, 4000)))
    assert phone and phone.position == 94 and phone.size == (512, 704)


def test_shapes_that_differ_are_said_to_be_stretched():
    text, image = image_of(summary((331, 240), (246, 599)))
    assert image["resize"] == "stretch" and "shapes differ" in text
    assert "resize" not in image_of(summary((300, 400), (600, 800)))[1]


def test_images_on_disk_are_looked_at(tmp_path: Path):
    good = tmp_path / "train" / "good"
    good.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(3):
        pixels = random.integers(0, 255, (48, 100), np.uint8)
        Image.fromarray(pixels).save(good / f"{number}.png")
    seen = summarise_images(tmp_path)
    assert (seen.size, seen.grey, seen.differ) == ((96, 192), True, False)


def test_the_default_size_is_left_to_the_presets():
    square = summary((400, 400))
    text = proposed_spec("cap", square, (256, 256))
    assert list(yaml.safe_load(text)["image"]) == ["color"]
    assert "# size: 256         # the default, of images that are 400 x 400; set," in text


def test_another_size_than_the_default_is_set():
    square = summary((400, 400))
    for default in (None, (320, 320)):
        assert yaml.safe_load(proposed_spec("cap", square, default))["image"]["size"] == 256


def test_a_preset_is_proposed_only_where_the_workspace_has_it():
    square = summary((400, 400))
    line = "# algorithms: {fastflow: {preset: standard}}"
    assert line in proposed_spec("cap", square, presets=["quick", "standard"])
    assert line not in proposed_spec("cap", square, presets=["quick"])
