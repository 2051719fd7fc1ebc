"""Images and maps are resized as torch does it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tasks.images.resample import resize_image, resize_map

SHAPES = [
    ((500, 1260), (256, 256)),
    ((33, 97), (64, 64)),
    ((64, 64), (64, 200)),
    ((257, 129), (100, 300)),
    ((1000, 31), (40, 77)),
    ((2, 5), (9, 3)),
    ((1, 1), (4, 4)),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("shape", "to"), SHAPES)
def test_an_image_is_that_of_torch(shape, to, channels):
    image = np.random.default_rng(0).random((*shape, channels), dtype=np.float32)
    pixels = torch.from_numpy(image).movedim(2, 0)[None]
    expected = F.interpolate(pixels, to, mode="bilinear", antialias=True)[0]
    np.testing.assert_allclose(resize_image(image, to), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("shape", "to"), SHAPES)
def test_a_map_is_that_of_torch(shape, to):
    map = np.random.default_rng(0).random(shape, dtype=np.float32)
    expected = F.interpolate(torch.from_numpy(map)[None, None], to, mode="bilinear")[0, 0]
    np.testing.assert_allclose(resize_map(map, to), expected, rtol=0, atol=1e-6)


def test_a_part_of_an_image_is_resized_where_it_lies():
    image = np.random.default_rng(0).random((90, 80, 3), dtype=np.float32)
    part = image[10:60, 20:70]
    np.testing.assert_array_equal(resize_image(part, (32, 48)), resize_image(part.copy(), (32, 48)))


def test_the_same_size_changes_nothing():
    image = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)
    np.testing.assert_array_equal(resize_image(image, (20, 30)), image.transpose(2, 0, 1))
    np.testing.assert_array_equal(resize_map(image[..., 0], (20, 30)), image[..., 0])
