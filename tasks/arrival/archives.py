"""Unpack a zip or tar file. Members that are not plain files inside it are refused."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.arrival.safe_paths import relative_parts, safe_paths
from tasks.images.layout import image_like
from tasks.workspace.errors import DataError
from tasks.workspace.files import need_space, writing

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression method that Python lacks
    RuntimeError,
    ValueError,
    OSError,  # from gzip and bz2; `writing` has already caught those of the disk
)


@dataclass(frozen=True)
class Member:
    name: str  # as the archive has it
    size: int  # bytes, unpacked
    open: Callable[[], IO[bytes] | None]
    special: bool = False  # a link or a device


def is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def unpack(
    archive: Path, folder: Path, wanted: Callable[[PurePosixPath], bool] = image_like
) -> list[tuple[str, str]]:
    """Write the wanted members of an archive (by default its images) below `folder`. Returns (name,
    reason) of each refused member."""
    with open_archive(archive) as members:
        by_name: dict[str, Member] = {}
        twice = []
        for member in members:
            if wanted(relative_parts(member.name)):
                if member.name in by_name:
                    twice.append((member.name, "is in the archive twice; the first one is taken"))
                else:
                    by_name[member.name] = member
        places, refused = safe_paths(name for name, member in by_name.items() if not member.special)
        refused += [
            (name, "is a link or a device; pack plain files and folders only")
            for name, member in by_name.items()
            if member.special
        ]
        chosen = [(path, by_name[name]) for path, name in places.items()]
        need_space(folder, sum(member.size for _, member in chosen), f"{archive} unpacked")
        for path, member in chosen:
            write_member(archive, member, folder / path)
    return refused + twice


def write_member(archive: Path, member: "Member", target: Path) -> None:
    """Write the content of one member to the file `target`."""
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("wb")
    source = member.open()
    if source is None:
        raise DataError(f"{archive}: {member.name} has no content; pack it again")
    with file, source:
        while chunk := source.read(1 << 20):
            with writing(target):
                file.write(chunk)


@contextmanager
def open_archive(archive: Path) -> Iterator[list[Member]]:
    """All members of an archive except folders; DataError if it is damaged."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield zip_members(archive, zipped)
        else:
            with tarfile.open(archive) as tape:
                yield tar_members(tape)
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(
            f"{archive}: damaged or cut off ({error or type(error).__name__}); copy it again"
        ) from error


def zip_members(archive: Path, zipped: zipfile.ZipFile) -> list[Member]:
    members = []
    for info in zipped.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        special = kind not in (0, stat.S_IFREG, stat.S_IFDIR)
        if info.flag_bits & 1:
            raise DataError(
                f"{archive}: {info.filename} is encrypted; unpack it, ingest the folder"
            )
        if special or not info.is_dir():
            content = partial(zipped.open, info)
            members.append(Member(info.filename, info.file_size, content, special))
    return members


def tar_members(tape: tarfile.TarFile) -> list[Member]:
    return [
        Member(info.name, info.size, partial(tape.extractfile, info), not info.isreg())
        for info in tape.getmembers()
        if not info.isdir()
    ]
