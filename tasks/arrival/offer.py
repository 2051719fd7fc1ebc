"""The content of a source: every image with its place in the layout and its mask.

Two kinds of sources are known. One with the MVTec AD layout has folders `train`, `test` or
`ground_truth`, in any letter case, and with other usual names (words.py). In any other the folders
of an image say its label. Where that is not certain, a question is the answer: see `question`.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.arrival.annotations import annotated_stems
from tasks.arrival.labels import GOOD, MASK, SHAPE, SKIP, Labels
from tasks.arrival.safe_paths import printable
from tasks.arrival.words import (
    SPLITS,
    Says,
    is_mask_folder,
    joined,
    names_any_defect,
    plain,
    says,
    split_of,
    words,
)
from tasks.images.layout import (
    EXPECTED,
    MASKS,
    image_files,
    layout_problem,
    orphan_problem,
)
from tasks.images.read_image import IMAGE_SUFFIXES
from tasks.workspace.errors import DataError

ASKED = 8  # folders that a question names
MASK_END = re.compile(r"[_.\- ](mask|gt|label|seg)$", re.IGNORECASE)
# A brush mask of Label Studio: the name tells its task, not its image
LABEL_STUDIO = re.compile(r"^task-\d+-annotation-\d+-.*tag-", re.IGNORECASE)
NO_LABEL = ""  # of folders that only group images
LABELLING = (Says.GOOD, Says.DEFECT)


@dataclass(frozen=True)
class Arrival:
    """An image of the source: its path there, its place `<split>/<label>/<name>`, and its mask if
    it has one."""

    path: PurePosixPath
    place: PurePosixPath
    mask: PurePosixPath | None = None

    @property
    def files(self) -> set[PurePosixPath]:
        return {self.path, self.mask} if self.mask else {self.path}


@dataclass
class Offer:
    """All arrivals sorted by path, and (path, reason) of each file that is refused because of its
    place. waiting: the same of masks whose image may still come."""

    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[tuple[PurePosixPath, str]] = field(default_factory=list)
    waiting: list[tuple[PurePosixPath, str]] = field(default_factory=list)

    def refuse(self, path: PurePosixPath, reason: str) -> None:
        self.refused.append((path, reason))


def read_offer(folder: Path, source: str, labels: Labels | None = None) -> Offer:
    """The images of a folder; `source` is what the person called it."""
    paths = list(image_files(folder))
    if not paths:
        raise DataError(
            f"{source}: no image found; looked for {', '.join(sorted(IMAGE_SUFFIXES))} "
            f"as {EXPECTED}, or anywhere in a folder of good images"
        )
    for part in (folder, folder.parent):
        inside = part.parent.iterdir() if split_of(part.name) or is_mask_folder(part.name) else ()
        if split_of(part.name) != "train" and any(split_of(one.name) == "train" for one in inside):
            raise DataError(f"{source}: is a part of {part.parent}; ingest that folder instead")
    known = labels or Labels()
    if unused := known.unused(path.parent for path in paths):
        raise DataError(f"{source}: no images in a folder {unused[0]!r}, which --labels names")
    offer = sort_paths(paths, source, known)
    check_annotations(offer, annotated_stems(folder), source, known)
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
        raise question(source, asked, "files of annotations mark something in that many of them")


def sort_paths(paths: list[PurePosixPath], source: str, labels: Labels) -> Offer:
    """The images and masks among the paths of a source; a DataError is a question."""
    roots = sorted({root for path in paths if (root := layout_root(path)) is not None})
    if not roots:
        return sort_by_folders(paths, source, labels)
    if len(roots) > 1:
        names = ", ".join(printable(str(root)) for root in roots[:5])
        raise DataError(f"{source}: holds several products ({names}); ingest one at a time")
    return sort_layout(paths, roots[0], source, labels)


def layout_root(path: PurePosixPath) -> PurePosixPath | None:
    """The folder above `train`, `test` or `ground_truth` in a path; None if the path has none of
    these."""
    for depth, part in enumerate(path.parts[:-1]):
        if split_of(part) or joined(part) in ("groundtruth", "gt"):
            return PurePosixPath(*path.parts[:depth])
    return None


def question(source: str, asked: "Counter[str]", why: str = "nothing tells which") -> DataError:
    """What to ask where folders may be labels. asked: images of each folder."""
    named = [f"{printable(name)} ({count})" for name, count in sorted(asked.items())]
    more = f" and {len(named) - ASKED} more" if len(named) > ASKED else ""
    example = printable(min(asked))
    return DataError(
        f"{source}: these folders may hold good images, defects or neither, and {why}: "
        f"{', '.join(named[:ASKED])}{more} (. is the source itself). Say it for each, for example "
        f"--labels 'good={example}'; the form is {SHAPE}. Nothing was taken"
    )


# A source with train, test or ground_truth


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
        if split is None or len(inside.parts) != 3:
            offer.refuse(path, layout_problem(inside) or f"not in its place; expected {EXPECTED}")
        else:
            images.append((path, split, inside.parts[1]))
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
            take(offer, path, split, label)
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


def take(offer: Offer, path: PurePosixPath, split: str, label: str) -> None:
    """Add an image to the offer, or the reason why it is none."""
    place = PurePosixPath(split, label, path.name)
    if label == SKIP:
        return
    if label == MASK:
        offer.refuse(path, f"lies among masks; put it into {MASKS}/<defect>")
    elif LABEL_STUDIO.match(path.name):
        offer.refuse(path, f"a mask of Label Studio; name it {MASKS}/<defect>/<image>_mask.png")
    elif reason := layout_problem(place):
        offer.refuse(path, reason)
    else:
        offer.arrivals.append(Arrival(path, place))


# Masks


def with_masks(
    offer: Offer,
    masks: set[PurePosixPath],
    labels: Labels,
    above: int = 0,
    of_layout: bool = False,
) -> Offer:
    """The offer with the mask of each defective image, and the reasons of the other masks.

    An image and its mask have the label and the stem in common; of a mask without a label the
    stem decides, if only one defective image has it. In a layout both are always needed. above:
    folders above the layout, which say nothing.
    """
    free: dict[tuple[str | None, str], PurePosixPath] = {}
    for mask in sorted(masks, key=str):
        key = mask_label(mask, labels, above), mask_stem(mask)
        if labels.of(mask.parent) == SKIP:
            continue
        if mask.suffix.lower() not in IMAGE_SUFFIXES:
            offer.refuse(mask, f"{mask.suffix} is not supported; export it as PNG, BMP or TIFF")
        elif free.setdefault(key, mask) != mask:
            offer.refuse(mask, f"{free[key]} is a mask of the same image; join the two")
    stems = Counter(plain(a.path.stem) for a in offer.arrivals if a.place.parts[1] != GOOD)
    found: list[Arrival] = []
    used: set[PurePosixPath | None] = set()
    for one in sorted(offer.arrivals, key=lambda one: one.place.parts[0] != "test"):
        label, stem = one.place.parts[1], plain(one.path.stem)
        own = free.get((label, stem)) if label != GOOD else None
        if own is None and label != GOOD and not of_layout and stems[stem] == 1:
            own = free.get((None, stem))
        found.append(Arrival(one.path, one.place, None if own in used else own))
        used.add(own)
    offer.arrivals = sorted(found, key=lambda one: str(one.path))
    for (named, stem), left in free.items():
        if left not in used:
            wanted = PurePosixPath(MASKS, named or "<defect>", f"{stem}_mask.png")
            offer.waiting.append((left, orphan_problem(wanted)))
    return offer


def mask_stem(mask: PurePosixPath) -> str:
    """The stem of the image that a mask belongs to."""
    return MASK_END.sub("", plain(mask.stem))


def mask_label(mask: PurePosixPath, labels: Labels, above: int) -> str | None:
    """The label that the folders of a mask give: below the folder of masks, in its name, or above
    it."""
    if said := labels.of(mask.parent):
        return None if said in (MASK, SKIP) else said
    folders = mask.parts[above:-1]
    at = next((n for n, part in enumerate(folders) if is_mask_folder(part)), len(folders))
    own = [word for part in folders[at : at + 1] for word in words(part)]
    named = "_".join(word for word in own if not is_mask_folder(word))
    for name in (*reversed(folders[at + 1 :]), named, *reversed(folders[:at])):
        meaning = says(name)
        if meaning is Says.GOOD:
            return GOOD
        if meaning is Says.DEFECT or (meaning is Says.UNKNOWN and name in folders[at + 1 :]):
            return plain(name)
    return None


# A source of folders


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
            take(offer, path, split_by_words(path.parent, label), label)
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


def split_by_words(folder: PurePosixPath, label: str) -> str:
    """Where an image goes whose folder has no split: `normal_test` -> test."""
    named = {SPLITS[word] for part in folder.parts for word in words(part) if word in SPLITS}
    if label != GOOD:
        return "calibration" if named == {"calibration"} else "test"
    return named.pop() if len(named) == 1 else "train"


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


def masks_among(paths: list[PurePosixPath], labels: Labels, above: int = 0) -> set[PurePosixPath]:
    """Masks by their folder, or by a name that ends in `_mask`, or in another such word beside an
    image of that name."""
    stems = {(path.parent, plain(path.stem)) for path in paths}
    masks = set()
    for path in paths:
        said = labels.of(path.parent)
        of_folder = said == MASK or (not said and any(map(is_mask_folder, path.parts[above:-1])))
        beside = (path.parent, mask_stem(path)) in stems and mask_stem(path) != plain(path.stem)
        named = not said and plain(path.stem).endswith("_mask")
        if of_folder or beside or named:
            masks.add(path)
    return masks
