"""How much time and memory one image file may take, decided from its header before a pixel is read.

Every reader of images comes by here: ingest, watch, validation, training, predict and serve. A file
that passes is as large as its header says, has no more parts than a writer needs, and is one image.
So Pillow, libjpeg, libtiff and tifffile take time and memory in proportion to its pixels.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePath
from typing import BinaryIO

from tasks.workspace.errors import DataError

Name = PurePath | str
MAX_MEGAPIXELS = 400
PIXEL_BYTES = 8.0  # of a file at most: four channels of 16 bits, not compressed
EXTRA_BYTES = 64 << 20  # beside the pixels: previews, profiles, notes of the camera
LARGEST_FILE = MAX_MEGAPIXELS * 1_000_000 * int(PIXEL_BYTES) + EXTRA_BYTES  # bytes
MAX_PARTS = 100_000  # chunks of a PNG, segments of a JPEG, strips or tiles of a TIFF
MAX_JUNK = 1 << 16  # bytes between the segments of a JPEG: Pillow skips them one by one
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xd9"
MARKER = re.compile(rb"\xff+([\x02-\xcf\xd8-\xfe])")  # between scans; in one are 00 and d0 to d7
FREE_SCANS = 16  # of a JPEG of any size: encoders write about ten
SCANNED_MEGAPIXELS = 1000  # scans times megapixels, where there are more scans
ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})  # JPEG: less than a bit a block
RLE_MEGAPIXELS = 16  # of a BMP with run lengths, which Pillow decodes run by run
DEFLATE = 1040  # bytes that one byte of a PNG can become
MAX_SAMPLES = 16  # channels of a TIFF
SMALL_TILE = 4_000_000  # pixels of a tile that may be larger than its image
MAX_VALUES = 1_000_000  # of one tag of a TIFF

# Tags of a TIFF, and the bytes of a value of each type
WIDTH, HEIGHT, BITS, PACKING, SAMPLES = 256, 257, 258, 259, 277
STRIPS, TILE_WIDTH, TILE_HEIGHT, TILES = 273, 322, 323, 324
DEPTH, TILE_DEPTH = 32997, 32998
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
INTEGERS = {1: "B", 3: "H", 4: "I"}
# Bytes that one byte becomes at most, by the way a TIFF is packed; others have no such limit
UNPACKED = {1: 1, 5: 4096, 7: 4096, 8: DEFLATE, 32773: 64, 32946: DEFLATE}
JPEGS = frozenset({6, 7})
KNOWN_TAGS = frozenset(
    {WIDTH, HEIGHT, BITS, PACKING, SAMPLES, TILE_WIDTH, TILE_HEIGHT, DEPTH, TILE_DEPTH}
)
AGAIN = "copy or export it again"


@dataclass(frozen=True)
class Promise:
    """What a header says: size in pixels, bytes of a pixel in the file at most, the bytes that the
    file must have at least, and how many JPEG pictures it is made of."""

    width: int
    height: int
    pixel_bytes: float = PIXEL_BYTES
    extra: int = EXTRA_BYTES
    least: int = 0
    jpegs: int = 0


class BrokenError(Exception):
    """No writer makes such a file; the text says what is wrong with it."""


def check_bounds(data: bytes, form: str, name: Name) -> Promise:
    """What the bytes of a file promise; a DataError where its pixels would take too much."""
    file = BytesIO(data)
    promise = checked(file, len(data), form, name)
    if promise.jpegs:
        alone = form == "JPEG"
        scans = count_scans(data, file.tell()) if alone else data.count(START_OF_SCAN)
        scans = max(1, scans // promise.jpegs)
        work = scans * promise.width * promise.height / 1e6
        if scans > FREE_SCANS and work > SCANNED_MEGAPIXELS:
            raise DataError(
                f"{name}: a JPEG of {scans} scans, which takes too long to decode; {AGAIN}"
            )
    return promise


def count_scans(data: bytes, at: int) -> int:
    """Scans of a JPEG whose first one begins at `at`; what follows its end, as the film of a phone,
    does not count."""
    scans = 1
    for _ in range(MAX_PARTS):
        found = MARKER.search(data, at)
        if found is None or found[1] == END_OF_IMAGE:
            break
        scans += found[1] == START_OF_SCAN[1:]
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    else:
        return MAX_PARTS
    return scans


def check_size(file: BinaryIO, size: int, form: str | None, name: Name) -> None:
    """DataError where a file of `size` bytes is larger than its header allows, so that it is not
    even read. form: None for no image."""
    if form:
        checked(file, size, form, name)
    elif size > EXTRA_BYTES:
        raise DataError(f"{name}: {megabytes(size)}, and not an image; check the file")


def checked(file: BinaryIO, size: int, form: str, name: Name) -> Promise:
    """The promise of the header of a file of `size` bytes, if it can be kept."""
    try:
        promise = HEADERS[form](file, size)
    except BrokenError as error:
        raise DataError(f"{name}: {error}") from None
    except (struct.error, ValueError, OverflowError):
        raise DataError(
            f"{name}: damaged or truncated {form} (its header is not whole); {AGAIN}"
        ) from None
    width, height = promise.width, promise.height
    if width * height > MAX_MEGAPIXELS * 1_000_000:
        raise DataError(
            f"{name}: {width} x {height} pixels, above the limit of {MAX_MEGAPIXELS} megapixels; "
            "scale the image down or cut it into tiles"
        )
    if size < promise.least:
        raise DataError(
            f"{name}: damaged or truncated {form} ({size} bytes for {width} x {height} pixels); "
            + AGAIN
        )
    most = width * height * promise.pixel_bytes + promise.extra
    if size > most:
        raise DataError(
            f"{name}: a file of {megabytes(size)}, but {width} x {height} pixels take "
            f"{megabytes(most)} at most; {AGAIN}"
        )
    return promise


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"


def unpack(form: str, file: BinaryIO) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def png_promise(file: BinaryIO, size: int) -> Promise:
    """From IHDR and a walk over the chunks."""
    file.seek(8)
    length, width, height, bits, colour = unpack(">I4xIIBB", file)
    file.seek(12)
    if length != 13 or file.read(4) != b"IHDR":
        raise BrokenError(f"damaged PNG (IHDR is not its first chunk); {AGAIN}")
    packed, at = 0, 8
    for _ in range(MAX_PARTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        if head[4:] == b"acTL":
            raise BrokenError("holds an animation; save every picture of it as a separate file")
        length = int.from_bytes(head[:4], "big")
        packed += length if head[4:] == b"IDAT" else 0
        at += 12 + length
    else:
        raise BrokenError(f"a PNG of more than {MAX_PARTS:,} chunks; {AGAIN}")
    channels = {2: 3, 4: 2, 6: 4}.get(colour, 1)
    needed = width * height * channels * bits // 8 // DEFLATE
    return Promise(width, height, least=size - packed + needed)


def jpeg_promise(file: BinaryIO, size: int) -> Promise:
    """From the frame header; the file is left at the first scan."""
    file.seek(3)
    frame, junk, after_ff = (0, 0, 0), 0, True
    for _ in range(MAX_PARTS + MAX_JUNK):
        [mark] = unpack("B", file)
        if not after_ff or mark in (0x00, 0xFF):
            after_ff = mark == 0xFF
            junk += 1
        elif 0xD0 <= mark <= 0xD9:  # a marker without content
            after_ff = False
        else:
            [length] = unpack(">H", file)
            after = file.tell() + length - 2
            if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
                _, height, width = unpack(">BHH", file)
                frame = (width, height, mark)
            file.seek(after)
            if mark == 0xDA:
                break
            after_ff = False
        if junk > MAX_JUNK:
            raise BrokenError(f"a JPEG with long gaps between its segments; {AGAIN}")
    else:
        raise BrokenError(f"a JPEG of more than {MAX_PARTS:,} segments; {AGAIN}")
    width, height, mark = frame
    blocks = -(-width // 8) * -(-height // 8)  # of 8 x 8 pixels, each of a bit or more
    return Promise(width, height, least=0 if mark in ARITHMETIC else after + blocks // 8, jpegs=1)


def bmp_promise(file: BinaryIO, size: int) -> Promise:
    """From the two headers."""
    file.seek(14)
    [header] = unpack("<I", file)
    short = header == 12
    width, height, _, bits = unpack("<HHHH" if short else "<iiHH", file)
    [packing] = (0,) if short else unpack("<I", file)
    width, height = abs(width), abs(height)
    if packing in (1, 2):
        if width * height > RLE_MEGAPIXELS * 1_000_000:
            raise BrokenError(
                f"a BMP with run lengths of {width} x {height} pixels, above "
                f"{RLE_MEGAPIXELS} megapixels; export it without"
            )
        return Promise(width, height, 1.1, 1 << 16)
    return Promise(width, height, least=(width * bits + 31) // 32 * 4 * height)


def tiff_promise(file: BinaryIO, size: int) -> Promise:
    """From the tags of the first page."""
    file.seek(0)
    order = "<" if file.read(2) == b"II" else ">"
    file.seek(4)
    file.seek(unpack(f"{order}I", file)[0])
    [count] = unpack(f"{order}H", file)
    entries = list(struct.iter_unpack(f"{order}HHI4s", file.read(12 * count)))
    if file.read(4).strip(b"\0"):  # where the next page lies
        raise BrokenError("holds several pages; save every page as a separate file")
    together = 0
    for tag, kind, values, _ in entries:
        most = MAX_PARTS if tag in (STRIPS, TILES) else MAX_VALUES
        if values > most and TYPE_BYTES.get(kind, 1) > 1:
            raise BrokenError(f"a TIFF with {values:,} values in tag {tag}; {AGAIN}")
        together += TYPE_BYTES.get(kind, 1) * values
    if together > 2 * size + (1 << 16):
        raise BrokenError(f"damaged TIFF (its tags take {megabytes(together)}); {AGAIN}")
    pieces = max((n for tag, _, n, _ in entries if tag in (STRIPS, TILES)), default=1)
    return promise_of_tags(
        pieces,
        {
            tag: max(tiff_values(file, order, kind, values, inside))
            for tag, kind, values, inside in entries
            if tag in KNOWN_TAGS and kind in INTEGERS and values
        },
    )


def tiff_values(
    file: BinaryIO, order: str, kind: int, count: int, inside: bytes
) -> tuple[int, ...]:
    """The first values of a tag; inside: its field, which holds them or says where they lie."""
    form = f"{order}{min(count, MAX_SAMPLES + 1)}{INTEGERS[kind]}"
    if TYPE_BYTES[kind] * count <= len(inside):
        return struct.unpack_from(form, inside)
    file.seek(struct.unpack(f"{order}I", inside)[0])
    return unpack(form, file)


def promise_of_tags(pieces: int, tags: dict[int, int]) -> Promise:
    """pieces: strips or tiles; tags: the largest value of each known one."""
    width, height = tags.get(WIDTH, 0), tags.get(HEIGHT, 0)
    samples, bits = tags.get(SAMPLES, 1), tags.get(BITS, 1)
    if samples > MAX_SAMPLES:
        raise BrokenError(f"a TIFF of {samples} channels; export it as grey or RGB")
    if tags.get(DEPTH, 1) > 1 or tags.get(TILE_DEPTH, 1) > 1:
        raise BrokenError("a TIFF of a volume; save every slice as a separate file")
    tile = tags.get(TILE_WIDTH, 0) * tags.get(TILE_HEIGHT, 0)
    if tile > max(2 * width * height, SMALL_TILE):
        raise BrokenError(f"damaged TIFF (a tile of {tile:,} pixels); {AGAIN}")
    needed = width * height * samples * bits // 8
    packing = tags.get(PACKING, 1)
    most, jpegs = UNPACKED.get(packing), pieces if packing in JPEGS else 0
    pixel_bytes = max(PIXEL_BYTES, samples * bits / 8)
    return Promise(width, height, pixel_bytes, least=needed // most if most else 0, jpegs=jpegs)


HEADERS: dict[str, Callable[[BinaryIO, int], Promise]] = {
    "PNG": png_promise,
    "JPEG": jpeg_promise,
    "BMP": bmp_promise,
    "TIFF": tiff_promise,
}
