import numpy as np
import pytest

from tasks.decisions.map_regions import find_map_regions, morphological_opening
from tasks.workspace.errors import DataError


def discs(mask, radius):
    """The union of the discs that fit, pixel by pixel; beyond the edge all is allowed."""
    height, width = mask.shape
    reach = range(-radius, radius + 1)
    disc = [(y, x) for y in reach for x in reach if y * y + x * x <= radius * radius]
    union = np.zeros_like(mask)
    for top in range(height):
        for left in range(width):
            at = [(top + y, left + x) for y, x in disc]
            at = [(y, x) for y, x in at if 0 <= y < height and 0 <= x < width]
            if all(mask[y, x] for y, x in at):
                for y, x in at:
                    union[y, x] = True
    return union


def flooded(mask):
    """Sets of pixels that touch at a side or a corner, by walking from pixel to pixel."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    while left:
        region, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            edge += near
        yield region


@pytest.mark.parametrize("radius", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("density", [0.7, 0.93, 0.99, 1.0, 0.0])
def test_opening_against_discs_one_by_one(radius, density):
    mask = np.random.default_rng(radius).random((23, 31)) < density
    assert np.array_equal(morphological_opening(mask, radius), discs(mask, radius))


@pytest.mark.parametrize(("min_area", "opening"), [(1, 0), (4, 0), (1, 1), (6, 2)])
def test_regions_against_a_walk_over_pixels(min_area, opening):
    rng = np.random.default_rng(min_area)
    for _ in range(5):
        noise = rng.random((33, 27), np.float32)
        heat = noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1)
        mask = discs(heat > 1.0, opening)
        expected = []
        for pixels in flooded(mask):
            ys, xs = np.array(sorted(pixels)).T
            if len(ys) < min_area:
                continue
            box = (xs.min() + 100, ys.min() + 50, np.ptp(xs) + 1, np.ptp(ys) + 1)
            inside = heat[ys, xs].astype(float)
            expected.append((inside.max(), len(ys), box, inside.mean()))
        found = find_map_regions(heat, 1.0, min_area, opening, origin=(100, 50))
        assert len(found) == len(expected) > 0
        expected.sort(key=lambda one: (-one[0], -one[1], one[2]))
        for one, (score, area, box, mean) in zip(found, expected, strict=True):
            assert (one.score, one.area, one.box) == (score, area, box)
            assert one.mean == pytest.approx(mean, rel=1e-12)


def test_the_threshold_itself_is_no_region():
    assert find_map_regions(np.full((4, 4), 2.0), 2.0) == []
    assert find_map_regions(np.full((4, 4), 2.0), np.nextafter(2.0, 0))[0].area == 16


def test_corners_touch():
    assert [one.area for one in find_map_regions(np.eye(5), 0.5)] == [5]


def test_a_map_that_is_no_number_is_refused():
    with pytest.raises(DataError, match="1 NaN"):
        find_map_regions(np.array([[np.nan, 1.0]]), 0.5)
