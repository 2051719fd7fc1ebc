"""Which files of a source are masks, and of which image each is."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

from tasks.arrival.labels import GOOD, MASK, SKIP, Labels
from tasks.arrival.offer import Arrival, Offer
from tasks.arrival.words import Says, is_mask_folder, plain, says, words
from tasks.images.layout import MASKS, orphan_problem
from tasks.images.read_image import IMAGE_SUFFIXES

MASK_END = re.compile(r"[_.\- ](mask|gt|label|seg)$", re.IGNORECASE)
# A brush mask of Label Studio: its name tells the task and not the image
LABEL_STUDIO = re.compile(r"^task-\d+-annotation-\d+-.*tag-", re.IGNORECASE)


def masks_among(paths: list[PurePosixPath], labels: Labels, above: int = 0) -> set[PurePosixPath]:
    """Masks by their folder, or by a name that ends in `_mask`, or in another such word beside an
    image of that name. What was said of the name `crack` says of `masks/crack` whose masks lie
    there, and not that they are images."""
    stems = {(path.parent, plain(path.stem)) for path in paths}
    masks = set()
    for path in paths:
        said = labels.of(path.parent)
        of_folder = said == MASK or in_mask_folder(path.parent, labels, above)
        beside = (path.parent, mask_stem(path)) in stems and mask_stem(path) != plain(path.stem)
        named = not said and plain(path.stem).endswith("_mask")
        if of_folder or beside or named or LABEL_STUDIO.match(path.name):
            masks.add(path)
    return masks


def in_mask_folder(folder: PurePosixPath, labels: Labels, above: int) -> bool:
    """Whether a folder of masks, by its name, is or holds this one, and nothing else was said."""
    depth = masks_begin(folder, Labels(), above)
    told = labels.told(folder)[:1]
    below = not told or (len(told[0].folder.parts) > depth + 1 and not told[0].by_path)
    return depth < len(folder.parts) and below


def masks_begin(folder: PurePosixPath, labels: Labels, above: int) -> int:
    """Which part of a path is the folder of masks, by its name or as was said; the number of parts
    if there is none."""
    said = [len(one.folder.parts) - 1 for one in labels.told(folder) if one.label == MASK]
    named = [n for n, part in enumerate(folder.parts) if n >= above and is_mask_folder(part)]
    return min(said + named, default=len(folder.parts))


def with_masks(
    offer: Offer,
    masks: set[PurePosixPath],
    labels: Labels,
    above: int = 0,
    of_layout: bool = False,
) -> Offer:
    """The offer with the mask of each defective image, and the reasons of the other masks.

    An image and its mask have the stem in common, and the label: only outside a layout a mask may
    have none. Of several images the one that lies nearest is meant, in a layout that of `test`.
    above: folders above the layout, which say nothing.
    """
    by_stem: dict[str, list[Arrival]] = {}
    for one in offer.arrivals:
        by_stem.setdefault(plain(one.path.stem), []).append(one)
    found: dict[PurePosixPath, PurePosixPath] = {}  # mask of each image
    for mask in sorted(masks, key=str):
        label, stem = mask_label(mask, labels, above), mask_stem(mask)
        if labels.of(mask.parent) == SKIP:
            offer.skipped.append(mask)
            continue
        meant = [
            one
            for one in by_stem.get(stem, [])
            if one.place.parts[1] == label or (label is None and not of_layout)
        ]
        image, reason = image_of(mask, [one for one in meant if one.place.parts[1] != GOOD])
        if mask.suffix.lower() not in IMAGE_SUFFIXES:
            offer.refuse(mask, f"{mask.suffix} is not supported; export it as PNG, BMP or TIFF")
        elif LABEL_STUDIO.match(mask.name):
            offer.refuse(mask, f"a mask of Label Studio; call it {MASKS}/<defect>/<image>_mask.png")
        elif reason:
            offer.refuse(mask, reason)
        elif image is None:
            wanted = PurePosixPath(MASKS, label or "<defect>", f"{stem}_mask.png")
            offer.waiting.append((mask, orphan_problem(wanted)))
        elif found.setdefault(image, mask) != mask:
            offer.refuse(mask, f"{found[image]} is a mask of the same image; join the two")
    for one in offer.arrivals:
        if one.path in found and (one.mask or one.drawing):
            offer.refuse(found.pop(one.path), f"the annotations say the mask of {one.path}")
    offer.arrivals = [replace(one, mask=found.get(one.path, one.mask)) for one in offer.arrivals]
    return offer


def image_of(mask: PurePosixPath, meant: list[Arrival]) -> tuple[PurePosixPath | None, str]:
    """The image that a mask belongs to, or why it is not certain."""
    near = [nearness(mask, one.path) for one in meant]
    meant = [one for one, depth in zip(meant, near, strict=True) if depth == max(near)]
    tested = [one for one in meant if one.place.parts[0] == "test"] or meant
    if len({one.path.parent for one in tested}) > 1:
        names = " and ".join(str(one.path) for one in tested[:2])
        return None, f"may belong to {names}; give images different names"
    return (tested[0].path, "") if tested else (None, "")


def nearness(one: PurePosixPath, other: PurePosixPath) -> int:
    """The number of folders that two paths have in common."""
    same = [a == b for a, b in zip(one.parts[:-1], other.parts[:-1], strict=False)]
    return [*same, False].index(False)


def mask_stem(mask: PurePosixPath) -> str:
    """The stem of the image that a mask belongs to."""
    return MASK_END.sub("", plain(mask.stem))


def mask_label(mask: PurePosixPath, labels: Labels, above: int) -> str | None:
    """The label that the folders of a mask give: below the folder of masks, in its name, or above
    it."""
    if said := [one for one in labels.told(mask.parent) if one.label not in (MASK, SKIP)]:
        return said[0].label
    folders = mask.parts[above:-1]
    at = max(masks_begin(mask.parent, labels, above) - above, 0)
    own = [word for part in folders[at : at + 1] for word in words(part)]
    named = "_".join(word for word in own if not is_mask_folder(word))
    for name in (*reversed(folders[at + 1 :]), named, *reversed(folders[:at])):
        meaning = says(name)
        if meaning is Says.GOOD:
            return GOOD
        if meaning is Says.DEFECT or (meaning is Says.UNKNOWN and name in folders[at + 1 :]):
            return plain(name)
    return None
