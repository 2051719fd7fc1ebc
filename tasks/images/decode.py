"""Decode the bytes of an image file to pixels. A DataError names the file and the remedy.

Pillow decodes most files. For 16-bit colour, of which Pillow drops the lower byte, imagecodecs
decodes. Alpha is dropped and the EXIF orientation is applied. Every byte of a PNG is checked
against its CRC, so that a damaged file is never used as an image.
"""

import io
import struct
import zlib
from dataclasses import dataclass
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

from tasks.images.deep_colour import bits_of, deep_pixels, is_deep_colour, turn_pixels
from tasks.workspace.errors import DataError

MAX_MEGAPIXELS = 400
READABLE = "PNG, JPEG, BMP or TIFF"
SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
# The constructors are called directly: Image.open would apply Pillow's process-wide bomb limit.
DECODERS: dict[str, type[ImageFile.ImageFile]] = {
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
    OverflowError,
    struct.error,
    zlib.error,
)
ORIENTATION = 0x0112  # EXIF tag


@dataclass(frozen=True)
class Picture:
    """Pixels (H, W, C) as uint8 or uint16, C 1 or 3, and the format of the file."""

    pixels: np.ndarray
    format: str

    @property
    def bits(self) -> int:
        return 8 * self.pixels.dtype.itemsize

    @property
    def unit(self) -> np.ndarray:
        """Pixels (H, W, C) as float32 in 0..1."""
        return np.divide(self.pixels, np.iinfo(self.pixels.dtype).max, dtype=np.float32)


def decode_image(data: bytes, name: PurePath | str) -> Picture:
    """The picture in the bytes of a file; `name` is used in messages."""
    form = file_format(data, name)
    try:
        image = DECODERS[form](io.BytesIO(data))
        check_pixels(image, name)
        if form == "PNG":
            DECODERS[form](io.BytesIO(data)).verify()  # CRC of every chunk
        return Picture(np.ascontiguousarray(pixels_of(image, data, name)), form)
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{name}: does not fit into memory; scale the image down") from None
    except DECODING_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: damaged or truncated {form} ({reason}); copy or export it again"
        ) from None


def file_format(data: bytes, name: PurePath | str) -> str:
    """The format, from the first bytes of the file."""
    for signature, form in SIGNATURES:
        if data.startswith(signature):
            return form
    if not data:
        raise DataError(f"{name}: the file is empty (0 bytes); copy or export it again")
    kind = next((kind for start, kind in FOREIGN.items() if data.startswith(start)), None)
    kind = kind or (BOXED.get(data[8:12]) if data[4:8] == b"ftyp" else None)
    found = f"a {kind}" if kind else "not an image"
    raise DataError(f"{name}: {found}; export it as {READABLE}")


def check_pixels(image: Image.Image, name: PurePath | str) -> None:
    """DataError for a decompression bomb and for a TIFF with several pages or an unsupported bit
    depth."""
    width, height = image.size
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise DataError(
            f"{name}: {width} x {height} pixels, above the limit of {MAX_MEGAPIXELS} megapixels; "
            "scale the image down or cut it into tiles"
        )
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        raise DataError(f"{name}: holds several pages; save every page as a separate file")
    if max(bits_of(image)) not in (1, 2, 4, 8, 16):
        raise DataError(f"{name}: {max(bits_of(image))} bits a channel; export it with 8 or 16")


def pixels_of(image: ImageFile.ImageFile, data: bytes, name: PurePath | str) -> np.ndarray:
    """Pixels (H, W, C) with the EXIF orientation applied."""
    if is_deep_colour(image, data):
        return turn_pixels(deep_pixels(image, data, name), image.getexif().get(ORIENTATION, 1))
    seen = apply_orientation(image)
    if seen.mode.startswith("I;16"):
        return np.asarray(seen).astype(np.uint16)[..., None]
    if seen.mode in ("1", "L"):
        return np.asarray(seen.convert("L"))[..., None]
    if seen.mode in ("LA", "La"):
        return np.asarray(seen.getchannel("L"))[..., None]
    if seen.mode == "P" and "transparency" in seen.info:
        seen = seen.convert("RGBA")  # otherwise Pillow warns about transparency bytes
    return np.asarray(seen.convert("RGB"))


def apply_orientation(image: ImageFile.ImageFile) -> Image.Image:
    """The decoded image with its EXIF orientation applied."""
    image.load()
    return ImageOps.exif_transpose(image) or image
