"""Images of a source that has `train`, `test` or `ground_truth`, however they are spelled."""

from collections import Counter
from pathlib import PurePosixPath

from tasks.arrival.labels import GOOD, MASK, Labels
from tasks.arrival.mask_pairs import masks_among, with_masks
from tasks.arrival.offer import Offer, question
from tasks.arrival.words import Says, joined, plain, says, split_by_words, split_of, words
from tasks.images.layout import EXPECTED, layout_problem
from tasks.images.read_image import IMAGE_SUFFIXES


def layout_root(path: PurePosixPath) -> PurePosixPath | None:
    """The folder above `train`, `test` or `ground_truth` in a path; None if the path has none of
    these."""
    for depth, part in enumerate(path.parts[:-1]):
        if split_of(part) or joined(part) in ("groundtruth", "gt"):
            return PurePosixPath(*path.parts[:depth])
    return None


def sort_layout(
    paths: list[PurePosixPath], root: PurePosixPath, source: str, labels: Labels
) -> Offer:
    """Images and masks of a source that has the MVTec AD layout at `root`."""
    offer, images = Offer(), []
    inner = [path for path in paths if path.is_relative_to(root)]
    masks = masks_among(inner, labels, len(root.parts))
    asked: Counter[str] = Counter()
    for path in (path for path in paths if path not in masks):
        inside = path.relative_to(root) if path.is_relative_to(root) else path
        split = split_of(inside.parts[0]) if path.is_relative_to(root) else None
        if path.suffix.lower() not in IMAGE_SUFFIXES or (split and len(inside.parts) > 3):
            offer.refuse(path, layout_problem(inside) or f"not in its place; expected {EXPECTED}")
        elif split and len(inside.parts) == 3:
            images.append((path, split, inside.parts[1]))
        elif said := labels.of(path.parent):  # beside the folders of the layout, or between them
            offer.take(path, split or split_by_words(path.parent, said), said)
        else:
            asked[path.parent.as_posix()] += 1
    sure = any(
        split == "train" and label_in(split, name, path.parent, labels) == GOOD
        for path, split, name in images
    )
    for path, split, name in images:
        label = label_in(split, name, path.parent, labels)
        if label is None and split == "train" and sure:
            reason = "train may hold only good images; move it to test/<defect>"
            offer.refuse(path, f"{reason}, or say --labels good=FOLDER")
        elif label is None:
            asked[path.parent.as_posix()] += 1
        else:
            offer.take(path, split, label)
    if asked:
        raise question(source, asked)
    return with_masks(offer, masks, labels, len(root.parts), of_layout=True)


def label_in(split: str, name: str, folder: PurePosixPath, labels: Labels) -> str | None:
    """The label that the folder `name` of a split gives; None if it is not certain."""
    if said := labels.of(folder):
        return said
    meaning = says(name)
    if meaning in (Says.GOOD, Says.MASKS):
        return GOOD if meaning is Says.GOOD else MASK
    if meaning is Says.DEFECT:
        return plain(name)
    numbered = not any(not word.isdigit() for word in words(name))
    certain = split != "train" and meaning is Says.UNKNOWN and not numbered
    return plain(name) if certain else None  # beside `train`, the layout says that it is a defect
