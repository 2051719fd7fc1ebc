"""Unpack a zip or tar file, after every member has been found harmless."""

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

from tasks.arrival.space import need_space, writing
from tasks.checks.layout import image_like
from tasks.errors import DataError

BROKEN = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a compression method that Python lacks
    RuntimeError,
    ValueError,
    OSError,  # of gzip and bz2; of the disk, too, but `writing` has caught those
)


@dataclass(frozen=True)
class Member:
    path: PurePosixPath
    size: int  # bytes, unpacked
    open: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return False


def unpack(
    archive: Path, folder: Path, wanted: Callable[[PurePosixPath], bool] = image_like
) -> None:
    """Write the members of an archive that are wanted, by default its images, below `folder`."""
    with opened(archive) as members:
        chosen = [member for member in members if wanted(member.path)]
        need_space(folder, sum(member.size for member in chosen), f"{archive} unpacked")
        for member in chosen:
            target = folder / member.path
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                file = target.open("wb")
            source = member.open()
            if source is None:
                raise DataError(f"{archive}: {member.path} has no content; pack it again")
            with file, source:
                while chunk := source.read(1 << 20):
                    with writing(target):
                        file.write(chunk)


@contextmanager
def opened(archive: Path) -> Iterator[list[Member]]:
    """All regular members of an archive; DataError where it is damaged or one is unsafe."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                yield zip_members(archive, zipped)
        else:
            with tarfile.open(archive) as tape:
                yield tar_members(archive, tape)
    except DataError:
        raise
    except BROKEN as error:
        raise DataError(
            f"{archive}: damaged or cut off ({error or type(error).__name__}); copy it again"
        ) from error


def zip_members(archive: Path, zipped: zipfile.ZipFile) -> list[Member]:
    members = []
    for info in zipped.infolist():
        path = safe(archive, info.filename)
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise unsafe(archive, info.filename, "is a link or a device")
        if info.flag_bits & 1:
            raise DataError(
                f"{archive}: {info.filename} is encrypted; unpack it, ingest the folder"
            )
        if not info.is_dir():
            members.append(Member(path, info.file_size, partial(zipped.open, info)))
    return members


def tar_members(archive: Path, tape: tarfile.TarFile) -> list[Member]:
    members = []
    for info in tape.getmembers():
        path = safe(archive, info.name)
        if not info.isreg() and not info.isdir():
            raise unsafe(archive, info.name, "is a link or a device")
        if info.isreg():
            members.append(Member(path, info.size, partial(tape.extractfile, info)))
    return members


def safe(archive: Path, name: str) -> PurePosixPath:
    """Path of a member; DataError where it would leave the folder it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    drive = len(path.parts) > 0 and path.parts[0].endswith(":")
    if path.is_absolute() or drive or ".." in path.parts:
        raise unsafe(archive, name, "points outside the archive")
    return path


def unsafe(archive: Path, name: str, why: str) -> DataError:
    return DataError(
        f"{archive}: member {name!r} {why}, nothing was unpacked; pack plain files and folders only"
    )
