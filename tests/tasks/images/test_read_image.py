"""Pixels are compared with arrays that were written by other libraries or by hand."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.images.read_image import IMAGE_SUFFIXES, read_image, read_mask
from tasks.workspace.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (7, 5), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (7, 5, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (7, 5), dtype=np.uint16)
DEEP_COLOUR = RNG.integers(0, 65536, (7, 5, 3), dtype=np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".tif", ".PNG"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_give_exact_values(tmp_path: Path, suffix: str, pixels: np.ndarray):
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    assert image.dtype == np.float32
    np.testing.assert_array_equal(image, (pixels.reshape(7, 5, -1) / 255).astype(np.float32))


def test_jpeg_is_close(tmp_path: Path):
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.JPG", quality=95)
    assert np.abs(read_image(tmp_path / "a.JPG")[..., 0] - smooth / 255).max() < 0.05


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_16_bit_grey_is_divided_by_65535(tmp_path: Path, suffix: str):
    Image.fromarray(DEEP).save(tmp_path / f"a{suffix}")
    image = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_allclose(image[..., 0], DEEP / 65535, rtol=1e-6)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"planarconfig": "separate"}])
def test_16_bit_colour_tiff_keeps_all_bits(tmp_path: Path, options: dict):
    planes = DEEP_COLOUR.transpose(2, 0, 1) if "planarconfig" in options else DEEP_COLOUR
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", **options)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif"), DEEP_COLOUR / 65535, rtol=1e-6)


def png(header: bytes, rows: bytes) -> bytes:
    """A PNG file written by hand."""
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    packed = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(("kind", "channels", "kept"), [(2, 3, 3), (6, 4, 3), (4, 2, 1)])
def test_16_bit_colour_png_keeps_all_bits(tmp_path: Path, kind: int, channels: int, kept: int):
    pixels = RNG.integers(0, 65536, (7, 5, channels), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", 5, 7, 16, kind, 0, 0, 0)
    (tmp_path / "a.png").write_bytes(png(header, rows))
    image = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(image, pixels[..., :kept] / 65535, rtol=1e-6)


def test_palette_becomes_rgb(tmp_path: Path):
    picture = Image.fromarray(COLOUR).quantize(8)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "a.png"), np.asarray(picture.convert("RGB"), np.float32) / 255
    )


def test_alpha_is_dropped_not_blended(tmp_path: Path):
    alpha = np.full((7, 5, 1), 10, np.uint8)
    Image.fromarray(np.dstack([COLOUR, alpha])).save(tmp_path / "rgba.png")
    Image.fromarray(np.dstack([GREY[..., None], alpha]), "LA").save(tmp_path / "la.png")
    np.testing.assert_allclose(read_image(tmp_path / "rgba.png"), COLOUR / 255, rtol=1e-6)
    np.testing.assert_allclose(read_image(tmp_path / "la.png")[..., 0], GREY / 255, rtol=1e-6)


def test_cmyk_becomes_rgb(tmp_path: Path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red = read_image(tmp_path / "a.jpg").mean(axis=(0, 1))
    np.testing.assert_allclose(red, [1, 0, 0], atol=0.03)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("deep", [False, True], ids=["8 bit", "16 bit colour"])
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, deep: bool):
    turns = [
        lambda a: a,
        lambda a: a[:, ::-1],
        lambda a: np.rot90(a, 2),
        lambda a: a[::-1],
        lambda a: a.swapaxes(0, 1),
        lambda a: np.rot90(a, -1),
        lambda a: np.rot90(a.swapaxes(0, 1), 2),
        lambda a: np.rot90(a, 1),
    ]
    pixels, scale = (DEEP_COLOUR, 65535) if deep else (COLOUR, 255)
    if deep:
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extratags=[tag])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(pixels).save(tmp_path / "a.tif", exif=exif)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_allclose(image, turns[orientation - 1](pixels) / scale, rtol=1e-6)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tiff"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_file_is_named(tmp_path: Path, suffix: str, share: float):
    path = tmp_path / f"cut{suffix}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DataError, match=rf"cut{suffix}: .*; "):
        read_image(path)


def test_one_flipped_bit_in_a_png_is_found(tmp_path: Path):
    path = tmp_path / "flipped.png"
    Image.fromarray(COLOUR).save(path)
    data = bytearray(path.read_bytes())
    data[-20] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"hello", "not an image"),
        (b"GIF89a...", "a GIF"),
        (b"\0\0\0\x18ftypheic....", "a HEIC"),  # of a phone, whatever its name says
        (b"\x89PNG\r\n", "image"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, words: str):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=f"a.png.*{words}"):
        read_image(tmp_path / "a.png")


def test_bomb_is_refused_without_decoding(tmp_path: Path):
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(png(header, b"\0" * 1000))
    with pytest.raises(DataError, match=r"60000 x 60000 pixels.*400 megapixels"):
        read_image(tmp_path / "bomb.png")


def test_float_and_several_pages_are_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "float.tif", GREY.astype(np.float32))
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([GREY, GREY]), photometric="minisblack")
    with pytest.raises(DataError, match="32 bits"):
        read_image(tmp_path / "float.tif")
    with pytest.raises(DataError, match="several pages"):
        read_image(tmp_path / "pages.tif")


def test_missing_file_and_folder(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(DataError, match="cannot be read"):
        read_image(tmp_path)


def test_permission(tmp_path: Path):
    (tmp_path / "a.png").touch(mode=0)
    if os.access(tmp_path / "a.png", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(DataError, match="permission denied"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("value", [1, 128, 255])
def test_mask_is_true_above_zero(tmp_path: Path, value: int):
    wanted = GREY > 200
    Image.fromarray((wanted * value).astype(np.uint8)).save(tmp_path / "m.png")
    Image.fromarray(np.dstack([0 * GREY, wanted * np.uint8(value), 0 * GREY])).save(
        tmp_path / "c.png"
    )
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), wanted)
    np.testing.assert_array_equal(read_mask(tmp_path / "c.png"), wanted)


def test_suffixes_are_lower_case():
    assert {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"} == IMAGE_SUFFIXES
