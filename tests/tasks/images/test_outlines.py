"""Outlines: filled again they are the region."""

import re

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tasks.images.outlines import outline


def corners(path: str) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", part)]
        for part in path.split("M")[1:]
    ]


def filled(path: str, size: tuple[int, int]) -> np.ndarray:
    """The area within the first outline, on a grid eight times as fine."""
    picture = Image.new("1", (8 * size[0], 8 * size[1]))
    for part in corners(path):
        ImageDraw.Draw(picture).polygon([(8 * x, 8 * y) for x, y in part], fill=1)
    return np.asarray(picture)[4::8, 4::8]


@pytest.mark.parametrize("place", [np.s_[10:30, 20:50], np.s_[:12, :9], np.s_[:, :], np.s_[5, 7]])
def test_filled_outline_is_the_region(place: tuple[slice, slice]) -> None:
    region = np.zeros((40, 60), bool)
    region[place] = True
    assert (filled(outline(region, (60, 40)), (60, 40)) == region).all()


def test_nothing_has_no_outline_and_two_regions_have_two() -> None:
    region = np.zeros((40, 60), bool)
    assert outline(region, (60, 40)) == ""
    region[3:9, 3:9] = region[20:30, 20:30] = True
    assert outline(region, (60, 40)).count("M") == 2


def test_defect_of_one_pixel_survives_the_shrinking() -> None:
    region = np.zeros((1600, 1200), bool)
    region[801, 803] = True
    [points] = corners(outline(region, (120, 160)))
    assert np.mean(points, axis=0) == pytest.approx((80.5, 80.5))


def test_straight_pieces_take_no_points() -> None:
    region = np.zeros((100, 100), bool)
    region[10:90, 10:90] = True
    assert len(outline(region, (100, 100))) < 80
