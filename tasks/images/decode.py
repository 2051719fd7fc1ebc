"""Decode the bytes of an image file to pixels. A DataError names the file and the remedy.

Pillow decodes most files. For 16-bit colour, of which Pillow drops the lower byte, imagecodecs
decodes. Alpha is dropped and the EXIF orientation is applied. Every byte of a PNG is checked
against its CRC, so that a damaged file is never used as an image.
"""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath

import numpy as np
from PIL import (
    BmpImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
)

from tasks.images.bounds import check_bounds
from tasks.images.deep_colour import (
    bits_of,
    deep_pixels,
    is_deep_colour,
    tags,
    turn_pixels,
    without_alpha,
)
from tasks.workspace.errors import DataError

READABLE = "PNG, JPEG, BMP or TIFF"
SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
LONGEST_SIGNATURE = max(len(start) for start, _ in SIGNATURES)
Image.MAX_IMAGE_PIXELS = None  # bounds.py decides; Pillow's own limit is lower, and for TIFF only
PLUGINS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
}
FOREIGN = {
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"II+\0": "BigTIFF",
    b"MM\0+": "BigTIFF",
    b"%PDF": "PDF",
}
BOXED = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC", b"avif": "AVIF"}
DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
)
ORIENTATION = 0x0112  # EXIF tag
FORMAT, UNSIGNED, UNDEFINED = 339, 1, 4  # TIFF: kind of numbers
PLAIN = {UNSIGNED, UNDEFINED}


@dataclass(frozen=True)
class Picture:
    """Pixels (H, W, C) as uint8 or uint16, C 1 or 3, and the format of the file. alpha (H, W): of a
    mask that has it."""

    pixels: np.ndarray
    format: str
    alpha: np.ndarray | None = None

    @property
    def bits(self) -> int:
        return 8 * self.pixels.dtype.itemsize

    @property
    def unit(self) -> np.ndarray:
        """Pixels (H, W, C) as float32 in 0..1."""
        return np.divide(self.pixels, np.iinfo(self.pixels.dtype).max, dtype=np.float32)


def decode_image(data: bytes, name: PurePath | str, alpha: bool = False) -> Picture:
    """The picture in the bytes of a file; `name` is used in messages. alpha: keep it."""
    form = file_format(data, name)
    try:
        image = open_image(form, io.BytesIO(data), name)
        check_pixels(image, name)
        if form == "PNG":
            PLUGINS[form](io.BytesIO(data)).verify()  # CRC of every chunk
        pixels = np.ascontiguousarray(pixels_of(image, data, name))
        return Picture(pixels, form, alpha_of(image, data, name) if alpha else None)
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{name}: does not fit into memory; scale the image down") from None
    except DECODING_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: damaged or truncated {form} ({reason}); copy or export it again"
        ) from None


def open_image(form: str, file: io.BytesIO, name: PurePath | str = "image") -> ImageFile.ImageFile:
    """An image of this format whose header is read and no pixel; DataError where it would take too
    much."""
    promise = check_bounds(file.getvalue(), form, name)
    image = PLUGINS[form](file)
    if sorted(image.size) != sorted((promise.width, promise.height)):
        raise SyntaxError("two headers")
    return image


# For those who only want the size
DECODERS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    form: partial(open_image, form) for form in PLUGINS
}


def file_format(data: bytes, name: PurePath | str) -> str:
    """The format, from the first bytes of the file; a DataError for any other file."""
    if form := known_format(data):
        return form
    if not data:
        raise DataError(f"{name}: the file is empty (0 bytes); copy or export it again")
    kind = next((kind for start, kind in FOREIGN.items() if data.startswith(start)), None)
    kind = kind or (BOXED.get(data[8:12]) if data[4:8] == b"ftyp" else None)
    found = f"a {kind}" if kind else "not an image"
    raise DataError(f"{name}: {found}; export it as {READABLE}")


def known_format(data: bytes) -> str | None:
    """The format by the first bytes of a file; None if it is not read here."""
    return next((form for start, form in SIGNATURES if data.startswith(start)), None)


def check_pixels(image: Image.Image, name: PurePath | str) -> None:
    """DataError for a bit depth or a kind of number that is not read as what it means."""
    if max(bits_of(image)) not in (1, 2, 4, 8, 16):
        raise DataError(f"{name}: {max(bits_of(image))} bits a channel; export it with 8 or 16")
    if image.format == "TIFF" and not set(tags(image).get(FORMAT, (UNSIGNED,))) <= PLAIN:
        raise DataError(f"{name}: signed or fractional values; export it with unsigned ones")


def pixels_of(image: ImageFile.ImageFile, data: bytes, name: PurePath | str) -> np.ndarray:
    """Pixels (H, W, C) with the EXIF orientation applied."""
    if is_deep_colour(image, data):
        return without_alpha(turned_deep_pixels(image, data, name))
    seen = apply_orientation(image)
    if seen.mode.startswith("I;16"):
        return np.asarray(seen).astype(np.uint16)[..., None]
    if seen.mode in ("L", "RGB"):  # `convert` would copy them
        return np.atleast_3d(np.asarray(seen))
    if seen.mode == "1":
        return np.asarray(seen.convert("L"))[..., None]
    if seen.mode in ("LA", "La"):
        return np.asarray(seen.getchannel("L"))[..., None]
    if seen.mode in ("I", "F"):  # other values would be clipped to 0..255
        raise DataError(f"{name}: values that are not 8 or 16 bits; export it with 8 or 16")
    if seen.mode == "P" and "transparency" in seen.info:
        seen = seen.convert("RGBA")  # otherwise Pillow warns about transparency bytes
    return np.asarray(seen.convert("RGB"))


def alpha_of(image: ImageFile.ImageFile, data: bytes, name: PurePath | str) -> np.ndarray | None:
    """Alpha (H, W) with the EXIF orientation applied; None if the image has none."""
    if is_deep_colour(image, data):
        pixels = turned_deep_pixels(image, data, name)
        return pixels[..., -1] if pixels.shape[2] in (2, 4) else None
    if not image.has_transparency_data or image.mode.startswith("I"):
        return None
    return np.asarray(apply_orientation(image).convert("RGBA").getchannel("A"))


def turned_deep_pixels(image: ImageFile.ImageFile, data: bytes, name: PurePath | str) -> np.ndarray:
    """Pixels (H, W, C) as uint16 with the EXIF orientation applied, alpha included."""
    return turn_pixels(deep_pixels(image, data, name), image.getexif().get(ORIENTATION, 1))


def orientation_of(data: bytes, name: PurePath | str) -> int:
    """The EXIF orientation of an image file, 1..8; 1 without one or without an image."""
    try:
        image = open_image(file_format(data, name), io.BytesIO(data), name)
        found = image.getexif().get(ORIENTATION, 1)
    except DECODING_ERRORS:  # decode_image reports it
        return 1
    return found if found in range(1, 9) else 1


def apply_orientation(image: ImageFile.ImageFile) -> Image.Image:
    """The decoded image with its EXIF orientation applied."""
    image.load()
    ImageOps.exif_transpose(image, in_place=True)  # otherwise it copies what needs no turn
    return image
