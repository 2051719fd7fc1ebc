"""The first spec of a product."""

import yaml

from tasks.products.image_summary import ImageSummary
from tasks.products.proposal import proposed_spec

SEEN = ImageSummary(20, False, False, {(400, 400): 20}, False, None)


def test_the_default_size_is_left_to_the_presets():
    text = proposed_spec("cap", SEEN, (256, 256))
    assert list(yaml.safe_load(text)["image"]) == ["color"]
    assert "# size: 256         # the default, of images that are 400 x 400; set," in text


def test_another_size_than_the_default_is_set():
    for default in (None, (320, 320)):
        assert yaml.safe_load(proposed_spec("cap", SEEN, default))["image"]["size"] == 256
