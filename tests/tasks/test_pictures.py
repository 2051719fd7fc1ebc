"""Pictures: the colours against matplotlib's, the outlines against scipy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.errors import DataError
from tasks.imaging.pictures import (
    FOUND_COLOUR,
    GAP,
    HEAT_SHARE,
    MASK_COLOUR,
    heat_map,
    save_jpeg,
    strip,
)

BLACK = np.zeros((40, 60, 3), np.float32)


def ramp(height: int = 40, width: int = 60) -> np.ndarray:
    return np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))


def has(part: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (part == colour).all(axis=2)


def parts(picture: Image.Image) -> list[np.ndarray]:
    pixels, width = np.asarray(picture), (picture.width - 2 * GAP) // 3
    return [pixels[:, at : at + width] for at in (0, width + GAP, 2 * (width + GAP))]


def test_colours_are_infernos() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    expected = matplotlib.colormaps["inferno"](ramp())[..., :3] * 255 * HEAT_SHARE
    assert np.abs(np.asarray(heat_map(BLACK, ramp(), 1.0)) - expected).max() < 2.5


def test_lightness_only_rises_with_the_map() -> None:
    row = np.asarray(heat_map(BLACK, ramp(), 1.0).convert("L"))[0].astype(int)
    assert (np.diff(row) >= 0).all() and row[-1] > row[0] + 100


def test_scale_is_the_callers_and_values_are_cut() -> None:
    wide = heat_map(BLACK, ramp() * 4 - 1, 1.0)
    assert wide.tobytes() == heat_map(BLACK, (ramp() * 4 - 1).clip(0, 1), 1.0).tobytes()
    assert heat_map(BLACK, ramp() * 7, 7.0).tobytes() == heat_map(BLACK, ramp(), 1.0).tobytes()
    assert heat_map(BLACK, ramp(), 2.0).tobytes() != heat_map(BLACK, ramp(), 1.0).tobytes()


def test_map_that_is_not_a_number_is_drawn_brightest() -> None:
    broken = np.full((40, 60), np.nan, np.float32)
    assert heat_map(BLACK, broken, 3.0).tobytes() == heat_map(BLACK, broken * 0 + 3, 3.0).tobytes()


@pytest.mark.parametrize(("size", "width"), [((40, 60), 240), ((300, 100), 53), ((160, 160), 160)])
def test_strip_keeps_the_aspect_ratio(size: tuple[int, int], width: int) -> None:
    image = np.full((*size, 1), 0.5, np.float32)
    picture = strip(image, np.zeros(size, np.float32), None, 1.0)
    assert picture.size == (3 * width + 2 * GAP, 160)
    first, _, third = parts(picture)
    assert (first == 128).all() and (third == 128).all()  # nothing to outline


def test_outline_follows_the_border_of_the_region() -> None:
    from scipy.ndimage import binary_dilation, binary_erosion

    mask = np.zeros((160, 160), bool)
    mask[40:90, 30:120] = True
    image = np.zeros((160, 160, 3), np.float32)
    third = parts(strip(image, mask.astype(np.float32), mask, 1.0))[2]
    square = np.ones((3, 3), bool)
    assert (has(third, MASK_COLOUR) == mask & ~binary_erosion(mask, square, iterations=2)).all()
    assert (has(third, (20, 20, 20)) == binary_dilation(mask, square) & ~mask).all()


def test_region_at_the_border_of_the_image_is_closed() -> None:
    mask = np.ones((160, 160), bool)
    third = parts(strip(np.zeros((160, 160, 3), np.float32), mask * 0.0, mask, 1.0))[2]
    assert has(third, MASK_COLOUR)[0].all() and has(third, MASK_COLOUR)[:, -1].all()


def test_threshold_is_inclusive_and_drawn_only_if_given() -> None:
    map = np.zeros((160, 160), np.float32)
    map[50:60, 50:60] = 0.5
    image = np.zeros((160, 160, 3), np.float32)
    drawn = [
        has(parts(strip(image, map, None, 1.0, limit))[2], FOUND_COLOUR).any()
        for limit in (0.5, 0.51, None)
    ]
    assert drawn == [True, False, False]


def test_defect_of_one_pixel_survives_the_shrinking() -> None:
    mask = np.zeros((1600, 1600), bool)
    mask[801, 803] = True
    image = np.zeros((1600, 1600, 3), np.float32)
    third = parts(strip(image, mask.astype(np.float32), mask, 1.0))[2]
    assert has(third, MASK_COLOUR).sum() >= 1


@pytest.mark.parametrize(
    ("image", "map", "mask", "top", "words"),
    [
        (BLACK[..., 0], ramp(), None, 1.0, "image is"),
        (BLACK, ramp(20), None, 1.0, "map is"),
        (BLACK, ramp(), np.ones((4, 4), bool), 1.0, "mask is"),
        (BLACK, ramp(), None, float("nan"), "top of the colour scale"),
        (BLACK, ramp(), None, -1.0, "top of the colour scale"),
    ],
)
def test_unfit_input_is_named(
    image: np.ndarray, map: np.ndarray, mask: np.ndarray | None, top: float, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        strip(image, map, mask, top)


def test_map_of_zeros_has_a_picture() -> None:
    dark = np.asarray(heat_map(BLACK, np.zeros((40, 60), np.float32), 0.0))
    assert dark.max() < 10


def test_jpeg_is_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_jpeg(Image.new("RGB", (30, 20), "teal"), tmp_path / "pictures" / "a.jpg")
    with Image.open(path) as picture:
        assert (picture.format, picture.size) == ("JPEG", (30, 20))
    before = path.read_bytes()

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:10])
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        save_jpeg(Image.new("RGB", (30, 20)), path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["a.jpg"]
