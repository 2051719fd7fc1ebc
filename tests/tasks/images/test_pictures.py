"""Pictures: the colours against matplotlib's, and as the colour-blind see them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ad_models.colours import HEAT_SHARE, coverage, inferno_colours
from tasks.images.pictures import heat_map, map_colours, save_jpeg
from tasks.images.sheet import sheet
from tasks.reporting.small_pictures import small_original
from tasks.workspace.errors import DataError

# What is left of red, green and blue (Machado et al., IEEE TVCG 2009, severity 1)
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
BLACK = np.zeros((40, 60, 3), np.float32)


def ramp(height: int = 40, width: int = 60) -> np.ndarray:
    return np.tile(np.linspace(0, 1, width, dtype=np.float32), (height, 1))


def test_colours_are_infernos() -> None:
    matplotlib = pytest.importorskip("matplotlib")
    seen = HEAT_SHARE * coverage(ramp())[..., None]
    expected = matplotlib.colormaps["inferno"](ramp())[..., :3] * 255 * seen
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


@pytest.mark.parametrize("matrix", [DEUTERANOPIA, PROTANOPIA])
def test_lightness_rises_for_the_colour_blind_too(matrix: list[list[float]]) -> None:
    seen = inferno_colours(np.linspace(0, 1, 60)[None])[0] / 255 @ np.array(matrix).T
    lightness = seen @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > 0).all()


def test_heat_alone_is_small_and_on_the_callers_scale() -> None:
    alone = map_colours(ramp(400, 200), 2.0, 80)
    assert alone.size == (40, 80)
    expected = inferno_colours(np.array([[0.25]]))[0, 0]  # 0.5 of 2
    assert np.abs(np.asarray(alone)[:, 20, :3] - expected).max() < 6


def test_what_is_normal_is_clear_and_what_is_a_region_covers() -> None:
    image = np.full((40, 60, 3), 0.6, np.float32)
    row = np.asarray(heat_map(image, ramp(), 1.0)).astype(int)[0]
    assert np.abs(row[:12] - 153).max() <= 1  # up to 0.2 of the scale it is the grey image
    alone = np.asarray(map_colours(ramp(60, 60), 1.0, 60))[0, :, 3]
    assert alone[0] == 0 and (alone[31:] == 255).all() and (np.diff(alone.astype(int)) >= 0).all()


def test_a_sheet_tells_verdict_contour_and_scale() -> None:
    drawn = Image.new("RGB", (600, 400), "grey")
    found = np.zeros((400, 600), bool)
    found[100:140, 200:260] = True
    made = np.asarray(sheet(drawn, found, "defect   score 12.3", "4.2"))
    assert made.shape[1] == 600 and made.shape[0] > 440
    yellow = (made == (240, 228, 66)).all(axis=2)
    rows, columns = np.nonzero(yellow)
    assert rows.min() in range(97, 100) and columns.max() in range(260, 263)
    assert (made[100:140, 200:260] == 128).all()  # what was found stays visible
    assert (made[400:] != np.array([251, 251, 250])).any(axis=2).sum() > 500  # words and scale
    small = sheet(Image.new("RGB", (32, 32)), None, "good", "")
    assert small.width == 360


@pytest.mark.parametrize(
    ("image", "map", "top", "words"),
    [
        (BLACK[..., 0], ramp(), 1.0, "image is"),
        (BLACK, ramp(20), 1.0, "map is"),
        (BLACK, ramp(), float("nan"), "top of the colour scale"),
        (BLACK, ramp(), -1.0, "top of the colour scale"),
    ],
)
def test_unfit_input_is_named(image: np.ndarray, map: np.ndarray, top: float, words: str) -> None:
    with pytest.raises(DataError, match=words):
        heat_map(image, map, top)


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


def test_a_small_original_of_twelve_bits_is_not_black(tmp_path: Path):
    pixels = np.full((40, 40), 3000, np.uint16)
    Image.fromarray(pixels).save(tmp_path / "dark.png")
    Image.fromarray(np.full((40, 40), 187, np.uint8)).save(tmp_path / "usual.png")
    shown = [
        np.asarray(Image.open(io.BytesIO(small_original(tmp_path / name) or b""))).mean()
        for name in ("dark.png", "usual.png")
    ]
    assert shown == pytest.approx([187, 187], abs=2)
    assert small_original(tmp_path / "none.png") is None
