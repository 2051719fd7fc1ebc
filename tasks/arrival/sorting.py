"""Sort the files of a source: images with their places, masks, and what is refused.

Two kinds of sources are known: with the MVTec AD layout (by_layout.py), and with folders that may
say a label (by_folders.py), which may have a `ground_truth` too. Where that is not certain the
answer is a question: `offer.question`.
"""

from collections import Counter
from pathlib import Path, PurePosixPath

from tasks.arrival.annotated.sorting import annotated_offer
from tasks.arrival.annotations import annotated_stems
from tasks.arrival.by_folders import sort_by_folders
from tasks.arrival.by_layout import layout_root, sort_layout
from tasks.arrival.labels import GOOD, Labels
from tasks.arrival.offer import Offer, question
from tasks.arrival.safe_paths import printable
from tasks.arrival.words import Says, is_mask_folder, plain, says, split_of
from tasks.images.layout import EXPECTED, Odd, image_files
from tasks.images.read_image import IMAGE_SUFFIXES
from tasks.workspace.errors import DataError

ANNOTATED = (
    "files of annotations mark something in that many of them (--annotations FILE reads COCO, "
    "Label Studio and CSV)"
)


def read_offer(folder: Path, source: str, labels: Labels | None = None) -> Offer:
    """The images of a folder; `source` is what the person called it."""
    odd: Odd = []
    paths = list(image_files(folder, odd))
    if not paths:
        lost = f" ({len(odd)} cannot be read: {odd[0][0]} {odd[0][1]})" if odd else ""
        raise DataError(
            f"{source}: no image found{lost}; looked for {', '.join(sorted(IMAGE_SUFFIXES))} "
            f"as {EXPECTED}, or anywhere in a folder of good images"
        )
    for part in (folder, folder.parent):
        inside = part.parent.iterdir() if split_of(part.name) or is_mask_folder(part.name) else ()
        if split_of(part.name) != "train" and any(split_of(one.name) == "train" for one in inside):
            raise DataError(f"{source}: is a part of {part.parent}; ingest that folder instead")
    known = labels or Labels()
    if unused := known.unused(path.parent for path in paths):
        raise DataError(f"{source}: no images in a folder {unused[0]!r}, which --labels names")
    if known.file:
        offer = sort_annotated(folder, paths, known.file, source, known)
    else:
        offer = sort_paths(paths, source, known)
        check_annotations(offer, annotated_stems(folder), source, known)
    offer.refused += sorted(odd, key=str)
    return offer


def sort_annotated(
    folder: Path, paths: list[PurePosixPath], asked: Path, source: str, labels: Labels
) -> Offer:
    """The images that a file of annotations names, and those whose folders say their label."""
    there = (asked.expanduser(), folder / asked)
    file = next((one for one in there if one.is_file()), asked)
    offer, rest = annotated_offer(folder, paths, file, labels)
    others = sort_paths(rest, source, labels) if rest else Offer()
    offer.arrivals = sorted(offer.arrivals + others.arrivals, key=lambda one: str(one.path))
    offer.refused += others.refused
    offer.skipped += others.skipped
    return offer


def check_annotations(offer: Offer, annotated: set[str], source: str, labels: Labels) -> None:
    """DataError where images are good because nothing says otherwise, and files beside them mark
    something in them."""
    asked = Counter(
        one.path.parent.as_posix()
        for one in offer.arrivals
        if one.place.parts[1] == GOOD
        and plain(one.path.stem) in annotated
        and Says.GOOD not in map(says, one.path.parts[:-1])
        and not labels.of(one.path.parent)
    )
    if asked:
        raise question(source, asked, ANNOTATED)


def sort_paths(paths: list[PurePosixPath], source: str, labels: Labels) -> Offer:
    """The images and masks among the paths of a source; a DataError is a question."""
    roots = sorted({root for path in paths if (root := layout_root(path)) is not None})
    if not any(split_of(part) for path in paths for part in path.parts[:-1]):
        return sort_by_folders(paths, source, labels)
    if len(roots) > 1:
        names = ", ".join(printable(str(root)) for root in roots[:5])
        raise DataError(f"{source}: holds several products ({names}); ingest one at a time")
    return sort_layout(paths, roots[0], source, labels)
