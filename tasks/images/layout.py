"""The MVTec AD layout: which files of a folder are images, masks, or neither.

train/good/<file>   test/good/<file>   test/<defect>/<file>
ground_truth/<defect>/<stem>_mask.png (or <stem>.png)

We add calibration/good/<file> and calibration/<defect>/<file>: images that set thresholds and are
not tested. If a test and a calibration image have the same name, the mask belongs to the test
image.
"""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tasks.images.read_image import IMAGE_SUFFIXES
from tasks.workspace.errors import DataError

# Files that a user may see as images: they are reported when left out, unlike a readme.
FOREIGN_SUFFIXES = frozenset(
    {".gif", ".webp", ".jfif", ".jp2", ".heic", ".heif", ".avif", ".psd"}
    | {".svg", ".dng", ".raw", ".exr", ".hdr", ".ppm", ".pgm", ".pnm"}
)
ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
Odd = list[tuple[PurePosixPath, str]]  # paths, each with the reason
SPLITS = ("train", "test", "calibration")
MASKS = "ground_truth"
MAX_LINKS = 4  # in one path: folders that link to each other have paths without end
EXPECTED = "train/good/<file>, test/good/<file> or test/<defect>/<file>"


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is left out without a word."""
    return name.startswith(".") or name == "__MACOSX"


def image_like(path: PurePosixPath) -> bool:
    """Whether a path, relative to its source, looks like an image and is not hidden."""
    named = PurePosixPath(path.name.rstrip(" ."))  # `part.png ` is told, not passed over
    return (
        not any(map(hidden, path.parts))
        and named.suffix.lower() in IMAGE_SUFFIXES | FOREIGN_SUFFIXES
    )


def image_files(folder: Path, odd: Odd | None = None) -> Iterator[PurePosixPath]:
    """Paths relative to `folder` of all files that look like images, sorted. Links to folders are
    followed, but not to one that the path is already in. odd: is given what may have been images
    or folders of them and cannot be read, with the reason."""
    found: Odd = []
    paths = list(files_below(folder, odd=found))
    if odd is not None:
        odd += [one for one in found if image_like(one[0]) or not one[0].suffix]
        packed = [path for path in paths if path.suffix.lower() in ARCHIVE_SUFFIXES]
        odd += [(path, "is an archive in a folder; unpack it there") for path in packed]
    yield from sorted(filter(image_like, paths), key=str)


def files_below(
    folder: Path,
    path: PurePosixPath = PurePosixPath(),  # noqa: B008, it cannot change
    inside: tuple[tuple[int, int], ...] = (),
    links: int = 0,
    odd: Odd | None = None,
) -> Iterator[PurePosixPath]:
    """Paths relative to `folder` of the files of the folder at `path` that are not hidden. inside:
    the folders that it lies in, as disk and number; links: how many of them are links. odd: is
    given what is neither a file nor a folder, with the reason."""
    try:
        about = (folder / path).stat()
        entries = list(os.scandir(folder / path))
    except OSError as error:
        raise DataError(
            f"{folder / path}: cannot be read ({error.strerror}); check its rights"
        ) from None
    if (about.st_dev, about.st_ino) in inside:
        return
    within = (*inside, (about.st_dev, about.st_ino))
    for entry in entries:
        below = path / entry.name
        try:
            folder_like, file_like = entry.is_dir(), entry.is_file()
        except OSError:  # links in a circle
            folder_like = file_like = False
        if folder_like:
            more = links + entry.is_symlink()
            if not hidden(entry.name) and more <= MAX_LINKS:
                yield from files_below(folder, below, within, more, odd)
        elif not hidden(entry.name) and file_like:
            yield below
        elif not hidden(entry.name) and odd is not None:
            kind = "a link to nothing" if entry.is_symlink() else "a pipe, a socket or a device"
            odd.append((below, f"is {kind}; put the file itself there"))


def layout_problem(path: PurePosixPath) -> str:
    """Why a relative path is not an image of the layout; empty if it is one."""
    if path.name.endswith((" ", ".")):
        return "a name that ends in a space or a dot; rename the file"
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        return f"{path.suffix} is not supported; export it as PNG, JPEG, BMP or TIFF"
    if len(path.parts) != 3 or path.parts[0] not in SPLITS:
        return f"not in its place; expected {EXPECTED}"
    if path.parts[0] == "train" and path.parts[1] != "good":
        return "train may hold only good images; move it to test/<defect>"
    return ""


def is_mask(path: PurePosixPath) -> bool:
    return path.parts[0] == MASKS


def usable_mask(path: PurePosixPath) -> bool:
    return is_mask(path) and len(path.parts) == 3 and path.suffix.lower() in IMAGE_SUFFIXES


def mask_key(path: PurePosixPath) -> tuple[str, str]:
    """Label and stem of the image that belongs to the mask
    `ground_truth/<label>/<stem>_mask.png`."""
    return normalised_name(path.parent.name), normalised_name(path.stem).removesuffix("_mask")


def image_key(path: PurePosixPath) -> tuple[str, str]:
    """Label and stem of an image, to find its mask."""
    return normalised_name(path.parent.name), normalised_name(path.stem)


def normalised_name(name: str) -> str:
    """A name in one form of Unicode: macOS writes accents as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


def pair_masks(
    paths: list[PurePosixPath],
) -> tuple[dict[PurePosixPath, PurePosixPath], list[PurePosixPath]]:
    """The mask of each defective image that has one, and the masks without an image."""
    masks = {mask_key(path): path for path in paths if usable_mask(path)}
    defects = [path for path in paths if path.parts[0] in SPLITS and path.parent.name != "good"]
    pairs: dict[PurePosixPath, PurePosixPath] = {}
    used: set[PurePosixPath] = set()
    for path in sorted(defects, key=lambda path: path.parts[0] != "test"):
        mask = masks.get(image_key(path))
        if mask and mask not in used:
            pairs[path] = mask
            used.add(mask)
    return pairs, [path for path in paths if is_mask(path) and path not in used]


def orphan_problem(path: PurePosixPath) -> str:
    """Why a mask does not belong to any image."""
    if not usable_mask(path):
        return f"not a mask of the layout; expected {MASKS}/<defect>/<stem>_mask.png"
    if path.parent.name == "good":
        return "a mask of a good image; only images in test/<defect> have masks"
    stem = path.stem.removesuffix("_mask")
    return f"mask without its image; expected test/{path.parent.name}/{stem} with any suffix"
