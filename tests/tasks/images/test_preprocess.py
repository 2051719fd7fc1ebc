import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as Picture

from ad_models import MEAN, STD
from tasks.images.preprocess import Preprocess
from tasks.images.tiles import cut_tiles, join_tiles, tile_offsets
from tasks.spec.schema import Image
from tasks.workspace.errors import DataError


def photo(height, width, channels=3):
    rng = np.random.default_rng(0)
    return rng.random((height, width, channels), dtype=np.float32)


def raw(seen):
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
    return seen * std + mean


def test_stretch_is_pillows_bilinear():
    image = photo(90, 70)
    seen = raw(Preprocess(Image(size=(32, 48)))(image))
    for channel in range(3):
        plane = Picture.fromarray(image[:, :, channel])
        expected = np.asarray(plane.resize((48, 32), Picture.Resampling.BILINEAR))
        np.testing.assert_allclose(seen[channel], expected, atol=2e-3)


@pytest.mark.parametrize("resize", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("shape", [(64, 64), (50, 100), (130, 40), (33, 97)])
def test_a_bright_spot_comes_back_to_its_place(resize, shape):
    preprocess = Preprocess(Image(size=(64, 64), resize=resize))
    image = np.zeros((*shape, 1), np.float32)
    y, x = shape[0] // 2 - 3, shape[1] // 2 + 5
    image[y - 2 : y + 3, x - 2 : x + 3] = 1
    restored = preprocess.restore(raw(preprocess(image))[0], shape)
    assert restored.shape == shape
    top = np.unravel_index(restored.argmax(), shape)
    assert abs(top[0] - y) <= 2 and abs(top[1] - x) <= 2


def test_grey_images_and_grey_specs():
    grey = photo(40, 40, 1)
    seen = raw(Preprocess(Image(size=(40, 40)))(grey))
    np.testing.assert_allclose(seen[0], seen[2], atol=1e-6)
    colour = raw(Preprocess(Image(size=(40, 40), color="grey"))(photo(40, 40)))
    expected = photo(40, 40) @ np.array([0.299, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(colour[1], expected, atol=1e-5)


def test_the_region_of_interest_is_all_that_is_seen():
    image = photo(100, 120)
    inside = Preprocess(Image(size=(32, 32), roi=(20, 10, 64, 48)))
    whole = Preprocess(Image(size=(32, 32)))
    np.testing.assert_array_equal(inside(image), whole(image[10:58, 20:84].copy()))
    with pytest.raises(DataError, match=r"reaches outside an image of 60 x 50"):
        inside(photo(50, 60))


@pytest.mark.parametrize(("length", "tile"), [(64, 64), (100, 64), (512, 128), (129, 128)])
def test_tiles_cover_every_pixel_and_overlap(length, tile):
    starts = tile_offsets(length, tile)
    covered = np.zeros(length, int)
    for start in starts:
        covered[start : start + tile] += 1
    assert starts[0] == 0 and starts[-1] + tile == length
    assert covered.min() >= 1
    assert all(b - a <= tile - tile // 4 for a, b in itertools.pairwise(starts))


def test_joined_tiles_of_an_image_are_the_image():
    image = colours(100, 150)
    tiles = cut_tiles(image, 64)
    np.testing.assert_allclose(join_tiles(tiles[:, 0], (100, 150)), image[0], atol=1e-6)


def colours(height, width):
    return photo(height, width).transpose(2, 0, 1)


def blurred(images, side):
    """Maps (N, h, w) of a detector that sees `side` pixels and repeats the border."""
    seen = torch.from_numpy(np.ascontiguousarray(images)).reshape(-1, *images.shape[-3:])
    padded = F.pad(seen, [side // 2] * 4, mode="replicate")
    return F.avg_pool2d(padded, side, stride=1).mean(1).numpy()


def tiled(image, tile, side):
    return join_tiles(blurred(cut_tiles(image, tile), side), image.shape[1:])


def test_tiles_of_a_detector_that_sees_a_little_equal_its_whole_map():
    image = colours(300, 260)
    np.testing.assert_allclose(tiled(image, 128, 9), blurred(image, 9)[0], atol=1e-6)


def test_where_a_detector_sees_beyond_its_tile_no_seam_is_a_step():
    image = colours(300, 260) + 1
    whole, joined = blurred(image, 25)[0], tiled(image, 128, 25)
    for dim in (0, 1):
        steps = [np.abs(np.diff(maps[13:-13, 13:-13], axis=dim)).max() for maps in (whole, joined)]
        assert steps[1] < 1.5 * steps[0]


def test_no_seam_where_tiles_disagree():
    tiles = cut_tiles(colours(64, 112), 64)[:, 0] * 0
    tiles[1] = 1.0
    steps = np.abs(np.diff(join_tiles(tiles, (64, 112)), axis=1)).max()
    assert steps < 0.1
