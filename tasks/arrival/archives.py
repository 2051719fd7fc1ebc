"""Unpack a zip or tar file. Members that are not plain files inside it are refused.

What its headers may take is bounded before they are read, what is unpacked before it is written.
"""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from tasks.arrival.safe_paths import relative_parts, safe_paths
from tasks.images.bounds import LARGEST_FILE
from tasks.images.layout import image_like
from tasks.workspace.errors import DataError
from tasks.workspace.files import megabytes, need_space, writing

ReadError, GNUTYPE_SPARSE = tarfile.ReadError, tarfile.GNUTYPE_SPARSE
NAMES = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    struct.error,
    NotImplementedError,  # a compression method that Python lacks
    RuntimeError,
    ValueError,
    OSError,  # from gzip and bz2; `writing` has already caught those of the disk
)
PACKED = {b"\x1f\x8b": "gz", b"BZh": "bz2", b"\xfd7zXZ\0": "xz", b"]\0\0": "xz"}
MAX_NAME = 1 << 16  # bytes of a header that holds names; tar allows any number
MAX_MEMBERS = 1_000_000
ALWAYS, RATIO = 10 << 30, 1000  # bytes unpacked that are always allowed, or times the archive


class PlainTarInfo(tarfile.TarInfo):
    """A header of a tar file that is read only if it is small."""

    def _proc_member(self, tarfile: tarfile.TarFile) -> tarfile.TarInfo:
        """Called for each header, before what belongs to it is read."""
        if self.type in NAMES and self.size > MAX_NAME:
            raise ReadError(f"a header of {self.size:,} bytes")
        if self.type == GNUTYPE_SPARSE:
            raise ReadError("a sparse member; pack it without --sparse")
        return super()._proc_member(tarfile)  # type: ignore[misc]

    def _proc_gnusparse_10(self, *_: object) -> None:
        raise ReadError("a sparse member; pack it without --sparse")


@dataclass(frozen=True)
class Member:
    name: str  # as the archive has it
    size: int  # bytes, unpacked
    open: Callable[[], IO[bytes] | None]
    special: bool = False  # a link or a device


def is_archive(path: Path) -> bool:
    try:
        if zipfile.is_zipfile(path):
            return True
        with open_tar(path):
            return True
    except BROKEN:
        return False


def open_tar(path: Path) -> tarfile.TarFile:
    """A tar file, packed as its first bytes say. Trying each way in turn would read to its end a
    file of zeros, as a disk that failed leaves one."""
    with path.open("rb") as file:
        head = file.read(max(map(len, PACKED)))
    packed = next((way for begin, way in PACKED.items() if head.startswith(begin)), "")
    return tarfile.open(path, f"r:{packed}", tarinfo=PlainTarInfo)  # type: ignore[call-overload]


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
        large = too_large({name: by_name[name].size for name in places.values()})
        refused += large.items()
        chosen = [(path, by_name[name]) for path, name in places.items() if name not in large]
        need_space(folder, sum(member.size for _, member in chosen), f"{archive} unpacked")
        for path, member in chosen:
            write_member(archive, member, folder / path)
    return refused + twice


def too_large(sizes: dict[str, int]) -> dict[str, str]:
    """The reason for each file of more bytes than an image can have. sizes: bytes of each."""
    return {
        name: f"takes {megabytes(size)}, more than any image"
        for name, size in sizes.items()
        if size > LARGEST_FILE
    }


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
                yield bounded(archive, zip_members(archive, zipped))
        else:
            with open_tar(archive) as tape:
                yield bounded(archive, tar_members(tape))
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
        if special or not info.filename.endswith("/"):
            content = partial(zipped.open, info)
            members.append(Member(info.filename, info.file_size, content, special))
    return members


def tar_members(tape: tarfile.TarFile) -> Iterator[Member]:
    for info in tape:
        if not info.isdir():
            content = partial(tape.extractfile, info)
            yield Member(info.name, info.size, content, not info.isreg())


def bounded(archive: Path, members: Iterable[Member]) -> list[Member]:
    """The members; DataError as soon as they are more, or take more, than an archive of images."""
    found: list[Member] = []
    size, most = 0, max(ALWAYS, RATIO * archive.stat().st_size)
    for member in members:
        found.append(member)
        size += member.size
        if len(found) > MAX_MEMBERS or size > most:
            raise DataError(
                f"{archive}: more than {MAX_MEMBERS:,} files or {megabytes(most)} when unpacked; "
                "unpack it and ingest the folder"
            )
    return found
