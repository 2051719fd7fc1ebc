"""Drawn keys of buckets and members of archives: each ends inside its folder, or in a reason."""

import gzip
import io
import os
import random
import resource
import tarfile
import time
import warnings
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from tasks.arrival.archives import MAX_NAME, is_archive, unpack
from tasks.arrival.buckets import image_keys
from tasks.arrival.safe_paths import LONGEST, LONGEST_PART, printable, relative_parts, safe_paths
from tasks.images.layout import image_like
from tasks.workspace.errors import DataError

PARTS = (
    *("", ".", "..", "...", "~", "C:", "c:x", "a", "b", "train", "good", "a.png", "b.png"),
    *(
        " ",
        "a b",
        "ü",
        "u\u0308",
        "日本",
        "\udcff",
        "\n",
        "\x1b[2J",
        "\0",
        "\\",
        "..\\",
        "a\\b",
        "%2e",
    ),
    *("x" * 230, "x" * 231, "ü" * 120, "CON", "-rf", "$(id)", "'", '"', "<b>", "🙂", ".hidden"),
)


def drawn_name(chance: random.Random) -> str:
    parts = chance.choices(PARTS, k=chance.choice((0, 1, 1, 2, 3, 8)))
    return "/".join([*parts, chance.choice((*PARTS, "1.png", "2.png", "3.JPG", "4.tif", "5.gif"))])


def drawn_names(chance: random.Random, most: int) -> list[str]:
    return list(dict.fromkeys(drawn_name(chance) for _ in range(chance.randint(1, most))))


def check_paths(taken: dict[PurePosixPath, str], names: list[str], refused: list[tuple]) -> None:
    """Each name is taken or refused; taken paths are plain and short, and none is in another."""
    assert sorted([*taken.values(), *(name for name, _ in refused)]) == sorted(names)
    root = Path("/room/below")
    for path in taken:
        assert path.parts and not path.is_absolute() and ".." not in path.parts
        assert Path(os.path.normpath(root / path)).is_relative_to(root)
        assert all(len(os.fsencode(part)) <= LONGEST_PART for part in path.parts)
        assert len(os.fsencode(path)) <= LONGEST
        assert not set(path.parents) & set(taken)


@pytest.mark.parametrize("seed", range(4))
def test_a_key_ends_inside_the_folder_or_is_refused_by_name(seed: int):
    for number in range(500):
        chance = random.Random(f"{seed} {number}")
        names = drawn_names(chance, 12)
        check_paths(*((found := safe_paths(names))[0], names, found[1]))
        prefix = chance.choice(("", "line/", "a/b/"))
        others = [f"other{name}" for name in drawn_names(chance, 3)] if prefix else []
        sizes = dict.fromkeys([prefix + name for name in names] + others, 1)
        large = [name for name in names if chance.random() < 0.1]
        sizes |= {prefix + name: 1 << 40 for name in large}
        taken, refused = image_keys(sizes, prefix)
        images = [name for name in names if image_like(relative_parts(name))]
        assert not {key.removeprefix(prefix) for key in taken.values()} & set(large)
        below = {path: key.removeprefix(prefix) for path, key in taken.items()}
        check_paths(below, images, refused)


def test_any_name_is_printed_in_one_line():
    chance = random.Random(1)
    for _ in range(2000):
        name = "".join(chance.choice((*PARTS, chr(chance.randrange(0xD800)))) for _ in range(5))
        assert printable(name).isprintable() and printable(printable(name)) == printable(name)
    assert printable("Größe 1.png") == "Größe 1.png"


def tar_of(members: list[tuple[str, bytes, bytes]], mode: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, errors="surrogateescape") as tape:  # type: ignore[call-overload]
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            if kind != tarfile.REGTYPE:
                info.size = 0
            tape.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip_of(members: list[tuple[str, bytes, bytes]]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as packed:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content, kind in members:
            info = zipfile.ZipInfo("x")
            info.filename = name  # as an attacker writes it
            info.external_attr = (0o120777 if kind != tarfile.REGTYPE else 0o100644) << 16
            packed.writestr(info, content)
    return file.getvalue()


def drawn_archive(chance: random.Random) -> tuple[bytes, list[tuple[str, bytes, bytes]]]:
    form = chance.choice(("zip", "w", "w:gz"))
    members = []
    for number in range(chance.randint(1, 8)):
        name = drawn_name(chance)
        if form == "zip":  # zip has no other bytes than UTF-8
            name = name.encode(errors="replace").decode().replace("\0", "0")
        kind = chance.choice((tarfile.REGTYPE,) * 6 + (tarfile.SYMTYPE, tarfile.LNKTYPE))
        members.append((name, b"%d" % number, kind))
    if chance.random() < 0.3:
        members.append((members[0][0], b"again", tarfile.REGTYPE))
    return (zip_of(members) if form == "zip" else tar_of(members, form)), members


@pytest.mark.parametrize("seed", range(4))
def test_a_member_ends_inside_the_folder_or_is_refused_by_name(tmp_path: Path, seed: int):
    for number in range(60):
        data, members = drawn_archive(random.Random(f"{seed} {number}"))
        room = tmp_path / str(number)
        (room / "in").mkdir(parents=True)
        (room / "archive").write_bytes(data)
        try:
            refused = {name for name, _ in unpack(room / "archive", room / "in")}
        except DataError as error:
            assert "archive: damaged" in str(error)  # a name that tar itself cannot hold
            continue
        files = {path for path in room.rglob("*") if path.is_file() or path.is_symlink()}
        inside = {path for path in files if path.is_relative_to(room / "in")}
        assert files - inside == {room / "archive"}
        assert not any(path.is_symlink() for path in files)
        plain = {content for _, content, kind in members if kind == tarfile.REGTYPE}
        assert {path.read_bytes() for path in inside} <= plain
        images = {name for name, *_ in members if image_like(relative_parts(name))}
        whole = {name for name in images if "\0" not in name and name[-1] not in "/\\"}
        assert len(inside) + len(refused) >= len(whole)  # a slash at its end makes it a folder


@pytest.mark.parametrize("seed", range(3))
def test_a_spoilt_archive_ends_in_files_or_a_reason(tmp_path: Path, seed: int):
    for number in range(150):
        folder = tmp_path / "room" / str(number)
        folder.mkdir(parents=True)
        chance = random.Random(f"{seed} {number}")
        data = bytearray(drawn_archive(chance)[0])
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / "room" / "archive"
        path.write_bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])
        began = time.process_time()
        if is_archive(path):
            try:
                unpack(path, folder)
            except DataError as error:
                assert str(path) in str(error)
        assert time.process_time() - began < 2
    assert {path.name for path in (tmp_path / "room").glob("[!0-9]*")} == {"archive"}
    assert {path.name for path in tmp_path.iterdir()} == {"room"}


def header(name: bytes, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    data = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    data[: len(name)] = name
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data)
    return bytes(data)


def zeros(file: gzip.GzipFile, size: int) -> None:
    for _ in range(size >> 20):
        file.write(bytes(1 << 20))


BOMBS = {
    "a name of a gigabyte": [(header(b"name", 1 << 30, tarfile.GNUTYPE_LONGNAME), 64 << 20)],
    "an attribute of a gigabyte": [(header(b"pax", 1 << 30, tarfile.XHDTYPE), 64 << 20)],
    "a global attribute": [(header(b"pax", MAX_NAME + 1, tarfile.XGLTYPE), 1 << 20)],
    "a sparse file": [(header(b"1.png", 1 << 40, tarfile.GNUTYPE_SPARSE), 1 << 20)],
    "a file of a terabyte": [(header(b"1.png", 1 << 40, tarfile.REGTYPE), 1 << 20)],
    "headers without end": [(header(b"pax", 0, tarfile.XHDTYPE), 0)] * 5000,
}


@pytest.mark.parametrize("case", BOMBS)
def test_what_a_tar_promises_is_not_read_before_it_is_bounded(tmp_path: Path, case: str):
    path = tmp_path / "bomb.tgz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for start, size in BOMBS[case]:
            file.write(start)
            zeros(file, size)
    (tmp_path / "in").mkdir()
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if is_archive(path):
        with pytest.raises(DataError, match=r"bomb.tgz: (damaged|more than)"):
            unpack(path, tmp_path / "in")
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000  # kilobytes
    assert not list((tmp_path / "in").iterdir())
