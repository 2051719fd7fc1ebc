"""What a person said about the folders of a source: `--labels good=a,b --labels crack=c`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.arrival.safe_paths import LONGEST_PART
from tasks.arrival.words import Says, is_mask_folder, plain, says
from tasks.images.layout import SPLITS
from tasks.workspace.errors import DataError

GOOD, MASK, SKIP = "good", "mask", "skip"
HERE = "."  # the images that lie in no folder
SHAPE = "--labels LABEL=FOLDER,FOLDER (LABEL is good, a type of defect, mask, or skip)"


@dataclass(frozen=True)
class Told:
    """What was said of a folder, by its path or only by its name."""

    label: str
    folder: PurePosixPath
    by_path: bool


@dataclass(frozen=True)
class Labels:
    """The label of folders: by name, wherever it occurs, or by a path below the source. file: of
    annotations, which say label and mask of images; here, or a path below the source."""

    folders: dict[str, str] = field(default_factory=dict)
    file: Path | None = None

    def of(self, folder: PurePosixPath) -> str | None:
        """What was said of a folder or of one above it, by path or by name.

        A folder whose own name says what it holds is not meant by what was said of one above it,
        but for `skip` and `mask`, which mean all that lies below, unless its path was called
        otherwise: in `skip/crack` the name `crack` means nothing.
        """
        told = self.told(folder)
        sure = next((n for n, one in enumerate(told) if one.by_path), len(told))
        all_below = (one.label for one in told[: sure + 1] if one.label in (SKIP, MASK))
        return next(all_below, told[0].label) if told else None

    def told(self, folder: PurePosixPath) -> list["Told"]:
        """All that was said of a folder and of those above it, from the nearest on."""
        found: list[Told] = []
        named = False
        for one in (folder, *folder.parents) if self.folders else ():
            path = plain(one.as_posix())
            for known in dict.fromkeys((path, path.rpartition("/")[2])):
                label = self.folders.get(known) if known != HERE or folder == one else None
                if label and (not named or label in (SKIP, MASK)):
                    found.append(Told(label, one, known == path))
            named = named or says(one.name) in (Says.GOOD, Says.DEFECT, Says.MASKS)
        return found

    def unused(self, folders: Iterable[PurePosixPath]) -> list[str]:
        """Folders that were named and are not there."""
        paths = [one for folder in folders for one in (folder, *folder.parents)]
        there = {plain(path.as_posix()) for path in paths} | {plain(path.name) for path in paths}
        return [name for name in self.folders if name not in there]


def read_labels(texts: Iterable[str], file: Path | None = None) -> Labels:
    """Texts `LABEL=FOLDER,FOLDER`, and a file of annotations; a DataError for any other text."""
    found: dict[str, str] = {}
    for text in filter(str.strip, texts):
        label, equals, names = text.partition("=")
        label = plain(label)
        folders = [plain(name).strip("/") or HERE for name in names.split(",") if name.strip()]
        if not equals or not folders:
            raise DataError(f"{text!r} names no folder; write {SHAPE}")
        check_label(label)
        for folder in folders:
            if found.setdefault(folder, label) != label:
                raise DataError(f"{folder!r} is called {found[folder]} and {label}; say one")
    return Labels(found, file)


def check_label(label: str) -> None:
    """DataError unless a folder of a product can have this name."""
    odd = not label.isprintable() or label.startswith(".") or any(c in label for c in "/\\:")
    odd = odd or len(label.encode("utf-8", "surrogateescape")) > LONGEST_PART
    reserved = label in (*SPLITS, "drop") or (label != MASK and is_mask_folder(label))
    if not label or odd or reserved:
        raise DataError(f"{label!r} cannot be a label; write {SHAPE}")
