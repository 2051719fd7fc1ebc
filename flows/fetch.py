"""Get a public data set: agree to the licence, download and check the archive, write the images."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from flows.running.progress import Terminal
from tasks.arrival.archives import is_archive, unpack
from tasks.arrival.public.catalogue import PublicSet, catalogue
from tasks.arrival.public.convert import SOURCE, write_products, write_source_files
from tasks.arrival.public.download import download_file
from tasks.arrival.sources import scratch_folder
from tasks.images.layout import image_like
from tasks.workspace.errors import DataError, hint
from tasks.workspace.files import need_space, writing
from tasks.workspace.secrets import without_password

ARCHIVES = ".archives"  # folder for the archives of all sets


def fetch_set(
    name: str,
    categories: list[str],
    to: Path,
    agreed: Callable[[str], bool],
    url: str | None = None,
    archive: Path | None = None,
    sha256: str | None = None,
) -> list[str]:
    """Sentences on the result. The folder is `to/<name>`, with one folder per category.

    url: instead of the publisher's. archive: a local file or the folder it was unpacked to. sha256:
    for a file that differs from the known one.
    """
    if name not in catalogue():
        raise DataError(f"no public set '{name}'; {hint(name, catalogue())}")
    known = catalogue()[name]
    folder = to / name
    wanted = [one for one in known.wanted(categories) if not (folder / one).is_dir()]
    if not wanted:
        return [f"{folder} already holds all of that; delete a category to get it again"]
    if not agreed(known.notice()):
        raise DataError("you did not agree to the licence; in scripts use --accept-licence")
    with writing(to):
        folder.mkdir(parents=True, exist_ok=True)
    (to / ".gitignore").write_text("*\n")  # the surrounding git repository ignores images
    with Terminal(3, "fetch") as terminal:
        file, digest = archive, ""
        if file is None:
            file = obtain_archive(known, to, url or known.url, sha256, len(wanted), terminal)
        if file.is_file():
            expected = expected_checksum(known, folder, sha256)
            digest = check_archive(known, file, expected, archive is None, terminal)
        counts = unpack_and_write(known, file, folder, wanted, terminal)
    address = without_password(url) if url else str(archive or known.url)
    table = write_source_files(name, known, folder, address, digest)
    lines = [f"{category}: {text}" for category, text in counts.items()]
    if not known.sha256 and not sha256:
        lines.append(unchecked(known, file, digest, folder))
    absent = [category for category in wanted if category not in counts]
    if absent:
        lines.append(f"not in {file}: {', '.join(absent)}")
    if archive is None:
        size = file.stat().st_size / 1e6
        lines.append(f"the archive is kept, {size:,.0f} MB: {file}")
    return [*lines, f"next, in a workspace: inspectline new --table {table.resolve()}"]


def obtain_archive(
    known: PublicSet, to: Path, url: str | None, sha256: str | None, wanted: int, terminal: Terminal
) -> Path:
    """Download the archive if it is not here; its path."""
    if not url:
        raise DataError(
            f"{known.title} has no direct download address. Get the archive at "
            f"{known.page} and give it as --archive FILE, or give a mirror with --url"
        )
    target = to / ARCHIVES / known.file
    if target.is_file():
        return target
    share = wanted / len(known.categories)
    if known.bytes:  # archives hardly compress images
        need_space(to, round(known.bytes * (1 + share)), f"{known.title}, packed and unpacked,")

    def report(here: int, total: int | None) -> None:
        of = f" of {total / 1e6:,.0f}" if total else ""
        terminal.update(label, f"{here / 1e6:,.0f}{of} MB", here / total if total else 0.0, {})

    label = f"download {known.file}"
    terminal.start(label)
    try:
        download_file(url, target, report, checked=bool(sha256 or known.sha256))
    except DataError as error:
        remedy = f"; the file may have moved: see {known.page}, and give --url or --archive"
        raise DataError(f"{error}{remedy}") from error
    terminal.end(label, "done")
    return target


def expected_checksum(known: PublicSet, folder: Path, sha256: str | None) -> str | None:
    """The expected checksum: the given one, the published one, or that of the first download."""
    if sha256 or known.sha256:
        return (sha256 or known.sha256 or "").lower()
    source = folder / SOURCE
    return json.loads(source.read_text())["sha256"] or None if source.is_file() else None


def unchecked(known: PublicSet, file: Path, digest: str, folder: Path) -> str:
    """What was not checked of a set whose publisher tells no checksum."""
    kept = f"; its sha256 {digest} is in {folder / SOURCE}, and a later one must equal it"
    return (
        f"not checked: whether {file} is what the authors of {known.title} published, because no "
        f"checksum is known{kept if digest else ''}; --sha256 compares it with one that you have"
    )


def check_archive(
    known: PublicSet, file: Path, wanted: str | None, downloaded: bool, terminal: Terminal
) -> str:
    """Check the archive; its sha256. A download with another sha256 is moved away and refused. The
    user's own file is used with a message."""
    terminal.start("checksum")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    terminal.end("checksum", "done" if wanted else "unknown before, kept now:")
    if wanted in (None, digest):
        return digest
    differs = f"{file} has the sha256 {digest}, and not {wanted}"
    if not downloaded:
        terminal.say(f"{differs}: it differs from the known file; it is used because it is yours")
        return digest
    aside = file.replace(file.with_name(f"{file.name}.refused"))
    raise DataError(
        f"{differs}: damaged, or changed by its publisher. It was moved to {aside}. The same "
        f"command downloads it again; if {known.page} says that it changed, give --sha256 {digest}"
    )


def unpack_and_write(
    known: PublicSet, file: Path, folder: Path, wanted: list[str], terminal: Terminal
) -> dict[str, str]:
    """Unpack the wanted categories and write them in our layout."""
    if file.is_dir():
        return write_products(known, file, folder, wanted, shutil.copyfile)
    if not is_archive(file):
        raise DataError(f"{file}: no whole zip or tar file; get it again at {known.page}")

    def chosen(path: PurePosixPath) -> bool:
        alone = len(known.categories) == 1
        return path.suffix == ".csv" or (
            image_like(path) and (alone or not known.categories_in(path) - set(wanted))
        )

    terminal.start("unpack")
    with scratch_folder(folder.parent / ARCHIVES) as unpacked:
        if refused := unpack(file, unpacked, chosen):
            name, reason = refused[0]
            raise DataError(f"{file}: {name!r} {reason}; get the file again at {known.page}")
        counts = write_products(known, unpacked, folder, wanted, os.replace)
    terminal.end("unpack", "done")
    return counts
