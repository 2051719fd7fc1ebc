"""No file takes more time or memory than its pixels: drawn headers, the worst of each format."""

import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tasks.images.bounds import EXTRA_BYTES, FREE_SCANS, MAX_PARTS, check_bounds
from tasks.images.decode import DECODERS, decode_image, file_format, orientation_of
from tasks.images.read_image import mask_pixels, read_bytes
from tasks.workspace.errors import DataError

REPOSITORY = Path(__file__).parents[3]
RNG = np.random.default_rng(0)
SECONDS, MEGABYTES = 2.0, 300  # of one drawn file, in a process that has imported all
NUMBERS = (0, 1, 2, 3, 255, 256, 4095, 65535, 1 << 16, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)


def encoded(form: str, mode: str = "L", **options: object) -> bytes:
    """A valid small file."""
    shape = (24, 40) if mode == "L" else (24, 40, len(mode))
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, shape, np.uint8)).save(file, form, **options)
    return file.getvalue()


def tiff(**options: object) -> bytes:
    file = io.BytesIO()
    pixels = RNG.integers(0, 65536, (32, 48, 3), dtype=np.uint16)
    tifffile.imwrite(file, pixels, photometric="rgb", **options)
    return file.getvalue()


def seeds() -> list[bytes]:
    return [
        *(encoded(form, mode) for form in ("PNG", "JPEG", "BMP", "TIFF") for mode in ("L", "RGB")),
        encoded("PNG", "RGBA"),
        encoded("JPEG", "RGB", progressive=True),
        encoded("TIFF", compression="tiff_lzw"),
        encoded("TIFF", compression="tiff_adobe_deflate"),
        encoded("TIFF", "RGB", compression="jpeg"),
        encoded("TIFF", "RGB", compression="packbits"),
        tiff(),
        tiff(compression="zlib", tile=(16, 16)),
        tiff(compression="lzw", rowsperstrip=3),
    ]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The file with some fields of its header, or anywhere, replaced by telling numbers."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        width = chance.choice((1, 2, 4))
        far = len(out) if chance.random() < 0.4 else min(len(out), 200)
        at = chance.randrange(max(1, far - width))
        number = chance.choice((*NUMBERS, chance.randrange(1 << 32))) % (1 << 8 * width)
        out[at : at + width] = number.to_bytes(width, chance.choice(("big", "little")))
    if out[:8] == data[:8] and out[:4] == b"\x89PNG":
        out = mended(out)
    return bytes(out)


def mended(png: bytearray) -> bytearray:
    """A PNG whose chunks have their right checksums again, so that its values are looked at."""
    at = 8
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if at + 12 + length > len(png):
            break
        end = at + 8 + length
        png[end : end + 4] = struct.pack(">I", zlib.crc32(png[at + 4 : end]))
        at = end + 4
    return png


def fuzz(seed: int, count: int) -> None:
    """Decode drawn files; prints what the slowest took, and the most memory, as JSON."""
    chance = random.Random(seed)
    whole = seeds()
    for data in whole:
        decode_image(data, "seed")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest, kinds = (0.0, ""), {"read": 0, "refused": 0}
    for _ in range(count):
        data = mutated(chance.choice(whole), chance)
        began = time.process_time()
        try:
            decode_image(data, "drawn")
            orientation_of(data, "drawn")
            kinds["read"] += 1
            mask_pixels(data, "drawn")
        except DataError:
            kinds["refused"] += 1
        slowest = max(slowest, (time.process_time() - began, data[:64].hex()))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"slowest": slowest, "megabytes": most / 1024, **kinds}))


@pytest.mark.parametrize("seed", range(2))
def test_drawn_headers_take_bounded_time_and_memory_and_end_in_pixels_or_a_reason(seed: int):
    code = f"from tests.tasks.images.test_bounds import fuzz; fuzz({seed}, 1200)"
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["slowest"][0] < SECONDS and found["megabytes"] < MEGABYTES, found
    assert min(found["read"], found["refused"]) > 100, found


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def many_chunks() -> bytes:
    data = encoded("PNG")
    return data[:33] + (MAX_PARTS + 1) * png_chunk(b"IDAT", b"") + data[33:]


def second_header() -> bytes:
    """A small size, and another one behind it, which Pillow would take."""
    data = encoded("PNG")
    other = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    return data[:33] + png_chunk(b"IHDR", other) + data[33:]


def many_scans() -> bytes:
    file = io.BytesIO()
    Image.new("L", (4000, 4000), 128).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + 100 * last + b"\xff\xd9"


def hidden_scans() -> bytes:
    """The same behind a comment that holds the end of an image."""
    data = many_scans()
    first = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    return data[:first] + b"\xff\xfe\0\4\xff\xd9" + data[first:]


def many_scans_in_a_tiff() -> bytes:
    """One strip, which is a JPEG as above."""
    data = many_scans()
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((16, 16), np.uint8))
    out = bytearray(file.getvalue())
    at = struct.unpack_from("<I", out, 4)[0]
    for n in range(struct.unpack_from("<H", out, at)[0]):
        place = at + 2 + 12 * n
        tag = struct.unpack_from("<H", out, place)[0]
        value = {256: 4000, 257: 4000, 259: 7, 273: len(out), 278: 4000, 279: len(data)}.get(tag)
        if value is not None:
            struct.pack_into("<HII", out, place + 2, 4, 1, value)
    return bytes(out) + data


def many_segments() -> bytes:
    data = encoded("JPEG")
    return data[:2] + (MAX_PARTS * 2) * b"\xff\xfe\0\2" + data[2:]


def junk() -> bytes:
    data = encoded("JPEG")
    return data[:2] + 10_000_000 * b"\xff" + data[2:]


def tagged(tag: int, kind: int, count: int, value: int) -> bytes:
    """A TIFF whose last tag is replaced by another one."""
    data = bytearray(tiff())
    at = struct.unpack_from("<I", data, 4)[0]
    tags = struct.unpack_from("<H", data, at)[0]
    struct.pack_into("<HHII", data, at + 2 + 12 * (tags - 1), tag, kind, count, value)
    return bytes(data)


def chain(pages: int = 20_000) -> bytes:
    """As many pages as there are bytes for, each of the tags of the first."""
    data = bytearray(encoded("TIFF"))
    at = struct.unpack_from("<I", data, 4)[0]
    size = 2 + 12 * struct.unpack_from("<H", data, at)[0]
    entries = data[at : at + size]
    link = at + size
    for _ in range(pages):
        struct.pack_into("<I", data, link, len(data))
        data += entries + bytes(4)
        link = len(data) - 4
    return bytes(data)


def run_lengths() -> bytes:
    head = struct.pack("<2sIHHI", b"BM", 0, 0, 0, 1078)
    return head + struct.pack("<IiiHHIIiiII", 40, 20000, 20000, 1, 8, 1, 0, 0, 0, 256, 0) + bytes(9)


WORST = {
    "a PNG of many chunks": (many_chunks, "more than 100,000 chunks"),
    "a PNG with two headers": (second_header, "damaged"),
    "a JPEG of many scans": (many_scans, "scans, which takes too long"),
    "a JPEG of hidden scans": (hidden_scans, "scans, which takes too long"),
    "a TIFF of many scans": (many_scans_in_a_tiff, "scans, which takes too long"),
    "a JPEG of many segments": (many_segments, "segments"),
    "a JPEG with a gap": (junk, "gaps between its segments"),
    "a TIFF of a volume": (lambda: tagged(32997, 4, 1, 3000), "volume"),
    "a TIFF of deep tiles": (lambda: tagged(32998, 4, 1, 3000), "volume"),
    "a TIFF of many channels": (lambda: tagged(277, 3, 1, 60_000), "60000 channels"),
    "a TIFF with a wide tag": (lambda: tagged(700, 4, 1 << 28, 8), "values in tag 700"),
    "a TIFF with overlapping tags": (lambda: tagged(700, 1, 1 << 28, 8), "its tags take"),
    "a TIFF of many pages": (chain, "several pages"),
    "a BMP with run lengths": (run_lengths, "run lengths of 20000 x 20000"),
}


@pytest.mark.parametrize("case", WORST)
def test_the_worst_of_each_format_is_refused_at_once(case: str):
    made, words = WORST[case]
    data = made()
    began = time.process_time()
    with pytest.raises(DataError, match=words):
        decode_image(data, "worst")
    with pytest.raises((DataError, SyntaxError)):  # as a service looks at the size first
        DECODERS[file_format(data, "worst")](io.BytesIO(data))
    assert time.process_time() - began < 1.0


def test_an_animation_is_no_picture():
    file, pictures = io.BytesIO(), [Image.new("L", (9, 9), value) for value in (10, 200)]
    pictures[0].save(file, "PNG", save_all=True, append_images=pictures[1:])
    with pytest.raises(DataError, match="moving: holds an animation; save every picture"):
        decode_image(file.getvalue(), "moving")


@pytest.mark.parametrize("start", [b"\x89PNG\r\n\x1a\n", b"hello", encoded("PNG"), encoded("BMP")])
def test_a_huge_file_of_few_pixels_is_not_read(tmp_path: Path, start: bytes):
    path = tmp_path / "sparse.png"
    path.write_bytes(start)
    os.truncate(path, 2 << 30)
    began = time.process_time()
    with pytest.raises(DataError, match=r"sparse.png: .*MB|damaged"):
        read_bytes(path)
    assert time.process_time() - began < 0.5


def test_a_pipe_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="not a file"):
        read_bytes(tmp_path / "pipe.png")


def test_what_honest_writers_make_passes(tmp_path: Path):
    """Flat pictures are the smallest files for their pixels, noise with notes the largest."""
    flat = Image.new("RGB", (1500, 1000), (250, 250, 250))
    for form, options in (
        ("PNG", {"optimize": True}),
        ("JPEG", {"quality": 5, "optimize": True}),
        ("JPEG", {"quality": 5, "optimize": True, "progressive": True}),
        ("BMP", {}),
        *(("TIFF", {"compression": f"tiff_{one}"}) for one in ("lzw", "adobe_deflate", "jpeg")),
        ("TIFF", {"compression": "packbits"}),
        ("TIFF", {"compression": "zstd"}),
    ):
        file = io.BytesIO()
        flat.save(file, form, **options)
        assert decode_image(file.getvalue(), form).pixels.shape == (1000, 1500, 3)
    notes = RNG.bytes(EXTRA_BYTES // 2)
    path = tmp_path / "noise.jpg"
    path.write_bytes(encoded("JPEG", quality=100) + notes)  # a phone appends a film
    assert decode_image(read_bytes(path), path).pixels.shape == (24, 40, 1)
    photo = io.BytesIO()
    Image.new("L", (3000, 2000), 99).save(photo, "JPEG", progressive=True)
    assert check_bounds(photo.getvalue() + notes, "JPEG", "film").width == 3000
    assert encoded("JPEG", progressive=True).count(b"\xff\xda") < FREE_SCANS


@pytest.mark.parametrize("kind", [np.int16, np.int8, np.float16, np.float32, np.int32, np.uint32])
@pytest.mark.parametrize("channels", [1, 3])
def test_numbers_that_would_be_clipped_are_refused(kind: type, channels: int):
    pixels = RNG.integers(0, 100, (24, 40, channels)).astype(kind)
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, photometric="rgb" if channels == 3 else "minisblack")
    with pytest.raises(DataError, match=r"signed|bits|pixels|damaged|several"):
        decode_image(file.getvalue(), "number.tif")
