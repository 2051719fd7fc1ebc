"""Which pixels a mask marks: drawn defects, written in every way that tools write them."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tasks.images.read_image import mask_pixels
from tasks.workspace.errors import DataError

SIZE = (120, 90)  # width, height
Marks = np.ndarray


def defect(seed: int, thin: bool = True) -> Marks:
    """Some blobs and lines (H, W), off the border and less than half of the picture."""
    rng = np.random.default_rng(seed)
    picture = Image.new("L", SIZE)
    pen = ImageDraw.Draw(picture)
    for _ in range(rng.integers(1, 4)):
        x, y = rng.integers(8, 60, 2)
        width, height = rng.integers(10, 24, 2)
        pen.ellipse((x, y, x + width, y + height), fill=255)
    if thin:
        pen.line([tuple(map(int, rng.integers(5, 80, 2))) for _ in range(2)], fill=255)
    return np.asarray(picture) > 0


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def grey(marks: Marks, value: int = 255) -> Image.Image:
    return Image.fromarray((marks * value).astype(np.uint8))


def coloured(marks: Marks, on: tuple[int, ...], off: tuple[int, ...]) -> Image.Image:
    pixels = np.where(marks[..., None], np.array(on, np.uint8), np.array(off, np.uint8))
    return Image.fromarray(pixels)


EXACT: dict[str, Callable[[Marks], bytes]] = {
    "white": lambda m: encoded(grey(m)),
    "numbered 1": lambda m: encoded(grey(m, 1)),
    "half grey": lambda m: encoded(grey(m, 128)),
    "one bit": lambda m: encoded(grey(m).convert("1")),
    "16 bits": lambda m: encoded(Image.fromarray(m.astype(np.uint16) * 65535)),
    "16 bits, few used": lambda m: encoded(Image.fromarray(m.astype(np.uint16) * 900)),
    "BMP": lambda m: encoded(grey(m), "BMP"),
    "TIFF": lambda m: encoded(grey(m), "TIFF", compression="tiff_lzw"),
    "red on black": lambda m: encoded(coloured(m, (255, 0, 0), (0, 0, 0))),
    "palette": lambda m: encoded(coloured(m, (200, 0, 9), (0, 0, 0)).quantize(2)),
    "white, transparent white around": lambda m: encoded(
        coloured(m, (255, 255, 255, 255), (255, 255, 255, 0))
    ),
    "black, transparent around": lambda m: encoded(coloured(m, (0, 0, 0, 255), (0, 0, 0, 0))),
    "half transparent red": lambda m: encoded(coloured(m, (255, 0, 0, 128), (0, 0, 0, 0))),
    "white on black, opaque": lambda m: encoded(coloured(m, (255, 255, 255, 255), (0, 0, 0, 255))),
    "half transparent red on black": lambda m: encoded(
        coloured(m, (255, 0, 0, 120), (0, 0, 0, 255))
    ),
    "grey with alpha": lambda m: encoded(Image.merge("LA", [Image.new("L", SIZE, 255), grey(m)])),
    "one colour of a palette is transparent": lambda m: encoded(
        grey(m).point(lambda v: v > 0 and 1).convert("P"), transparency=0
    ),
}


@pytest.mark.parametrize("way", EXACT)
def test_a_sharp_mask_is_exact(way: str):
    for seed in range(12):
        marks = defect(seed)
        np.testing.assert_array_equal(mask_pixels(EXACT[way](marks), way), marks, err_msg=way)


SOFT: dict[str, Callable[[Marks], bytes]] = {
    **{
        f"JPEG {quality}": lambda m, q=quality: encoded(grey(m), "JPEG", quality=q)
        for quality in (30, 50, 75, 95)
    },
    "JPEG, red": lambda m: encoded(coloured(m, (255, 0, 0), (0, 0, 0)), "JPEG", quality=75),
    **{
        f"blurred {radius}": lambda m, r=radius: encoded(
            grey(m).filter(ImageFilter.GaussianBlur(r))
        )
        for radius in (1, 2, 3)
    },
    "boxed": lambda m: encoded(grey(m).filter(ImageFilter.BoxBlur(1))),
    "dark and blurred": lambda m: encoded(grey(m, 90).filter(ImageFilter.GaussianBlur(2))),
    "enlarged": lambda m: encoded(
        grey(m).resize((60, 45), Image.Resampling.BOX).resize(SIZE, Image.Resampling.BILINEAR)
    ),
    "a JPEG saved as PNG": lambda m: encoded(
        Image.open(io.BytesIO(encoded(grey(m), "JPEG", quality=60)))
    ),
    "soft alpha": lambda m: encoded(
        Image.merge("LA", [Image.new("L", SIZE, 255), grey(m).filter(ImageFilter.GaussianBlur(2))])
    ),
}


@pytest.mark.parametrize("way", SOFT)
def test_a_soft_mask_keeps_its_area(way: str):
    for seed in range(12):
        marks = defect(seed, thin=False)
        found = mask_pixels(SOFT[way](marks), way)
        both, any_ = (found & marks).sum(), (found | marks).sum()
        assert both / any_ > 0.85, (seed, both / any_)
        assert 0.85 < found.sum() / marks.sum() < 1.15, (seed, found.sum() / marks.sum())


@pytest.mark.parametrize("levels", [(85, 170, 255), (1, 2, 3), (40, 255), tuple(range(1, 20))])
def test_greys_that_stand_alone_are_types_and_all_mark(levels: tuple[int, ...]):
    for seed in range(6):
        pixels = np.zeros(SIZE[::-1], np.uint8)
        rng = np.random.default_rng(seed)
        for value in levels:  # some lie beside another one
            x, y = rng.integers(5, 80, 2)
            pixels[y : y + 9, x : x + 9] = value
        np.testing.assert_array_equal(
            mask_pixels(encoded(Image.fromarray(pixels)), "types"), pixels > 0
        )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_an_inverted_mask_is_held_up(seed: int, form: str):
    marks = defect(seed, thin=False)
    for picture in (grey(~marks), coloured(marks, (255, 0, 0), (255, 255, 255))):
        with pytest.raises(DataError, match=r"m\.png: the mask marks .* bright on black"):
            mask_pixels(encoded(picture, form), "m.png")


def test_a_mask_of_everything_is_held_up_and_one_of_nothing_is_empty():
    everything = np.ones(SIZE[::-1], bool)
    for picture in (grey(everything), coloured(everything, (9, 9, 9, 255), (0, 0, 0, 0))):
        with pytest.raises(DataError, match="marks 100 %"):
            mask_pixels(encoded(picture), "all")
    for form in ("PNG", "JPEG"):
        assert not mask_pixels(encoded(grey(~everything), form), "none").any()
    half = everything.copy()
    half[:, :40] = False  # large, and no frame: it may be meant so
    assert mask_pixels(encoded(grey(half)), "half").mean() > 0.6
