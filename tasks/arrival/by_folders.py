"""Images of a source without a layout: all are good, or the folders of each say its label."""

from collections import Counter
from pathlib import PurePosixPath

from tasks.arrival.labels import GOOD, MASK, SKIP, Labels
from tasks.arrival.mask_pairs import masks_among, with_masks
from tasks.arrival.offer import Offer, question
from tasks.arrival.words import Says, names_any_defect, plain, says, split_by_words

NO_LABEL = ""  # of folders that only group images
LABELLING = (Says.GOOD, Says.DEFECT)


def sort_by_folders(paths: list[PurePosixPath], source: str, labels: Labels) -> Offer:
    """Images of a source without the layout: all good, or each with the label of its folder."""
    masks = masks_among(paths, labels)
    images = [path for path in paths if path not in masks]
    found = {folder: label_by_folders(folder, labels) for folder in {p.parent for p in images}}
    parted = any(
        label not in (None, NO_LABEL, SKIP, MASK) and not (label == GOOD and labels.of(folder))
        for folder, label in found.items()
    )
    alone = {first_unknown(folder) for folder in found} == {PurePosixPath(source).stem.casefold()}
    offer = Offer()
    asked: Counter[str] = Counter()
    for path in images:
        label = found[path.parent]
        if not parted and (label == NO_LABEL or alone):
            label = GOOD  # nothing in this source says of any image that it is not
        if label:
            offer.take(path, split_by_words(path.parent, label), label)
        else:
            asked[path.parent.as_posix()] += 1
    if asked:
        raise question(source, asked)
    check_one_product(source, found, images, labels)
    return with_masks(offer, masks, labels)


def label_by_folders(folder: PurePosixPath, labels: Labels) -> str | None:
    """The label that the names in a path give; NO_LABEL if they only group images, None if they
    are not certain."""
    if said := labels.of(folder):
        return said
    meanings = {says(part) for part in folder.parts}
    if {Says.GOOD, Says.DEFECT} <= meanings:
        return None
    if Says.GOOD in meanings:
        return GOOD
    if Says.DEFECT in meanings:
        return defect_in(folder)
    return None if Says.UNKNOWN in meanings else NO_LABEL


def defect_in(folder: PurePosixPath) -> str:
    """The type of the defect in a path: `abnormal/scratch` -> scratch."""
    parts = [part for part in folder.parts if says(part) is not Says.NOTHING]
    first = next(at for at, part in enumerate(parts) if says(part) is Says.DEFECT)
    return plain(next((p for p in parts[first:] if not names_any_defect(p)), parts[first]))


def first_unknown(folder: PurePosixPath) -> str:
    return next((plain(part) for part in folder.parts if says(part) is Says.UNKNOWN), "")


def check_one_product(
    source: str,
    found: dict[PurePosixPath, str | None],
    images: list[PurePosixPath],
    labels: Labels,
) -> None:
    """DataError where labels lie below several names, such as `bottle/good` and `can/good`."""
    above: dict[str, Counter[str]] = {}
    for path in images:
        if found[path.parent] and not labels.of(path.parent):
            parts = path.parent.parts
            known = next(n for n, part in enumerate(parts) if says(part) in LABELLING)
            outer = "/".join(part for part in parts[:known] if says(part) is Says.UNKNOWN)
            above.setdefault(outer, Counter())[path.parent.as_posix()] += 1
    if len(above) > 1:
        asked = sum(above.values(), Counter())
        raise question(source, asked, f"{', '.join(map(repr, above))} may be several products")
