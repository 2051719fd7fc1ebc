"""The images of a source that a file of annotations names, each with its place and its mask.

Nothing but what was found below the source is ever opened, whatever path the file names.
"""

import posixpath
from dataclasses import replace
from pathlib import Path, PurePosixPath

from tasks.arrival.annotated.label_studio import UPLOAD
from tasks.arrival.annotated.read import read_entries
from tasks.arrival.by_layout import layout_root
from tasks.arrival.entry import Drawing, Entry
from tasks.arrival.labels import GOOD, MASK, SKIP, Labels, check_label
from tasks.arrival.mask_pairs import masks_among, with_masks
from tasks.arrival.offer import Arrival, Offer
from tasks.arrival.words import Says, plain, says, split_by_words
from tasks.images.layout import SPLITS, layout_problem, normalised_name
from tasks.workspace.errors import DataError

COMBINED = "combined"  # of an image with defects of several types, as MVTec AD calls it


class Names:
    """Finds the files of a source by what a file of annotations calls them. below: the folder of
    that file in the source."""

    def __init__(self, paths: list[PurePosixPath], below: PurePosixPath) -> None:
        self.below = below
        self.exact = {normalised_name(str(path)): path for path in paths}
        self.whole: dict[str, list[PurePosixPath]] = {}
        self.last: dict[str, list[PurePosixPath]] = {}
        for path in paths:
            self.whole.setdefault(plain(str(path)), []).append(path)
            self.last.setdefault(plain(path.name), []).append(path)

    def find(self, name: str) -> PurePosixPath:
        """The file; a ValueError says why there is none. A path of another machine or an address
        is found by its last part, where one file has that name."""
        text = normalised_name(name.replace("\\", "/"))
        places = [posixpath.normpath(posixpath.join(start, text)) for start in ("", self.below)]
        for place in places:
            if found := self.exact.get(place):
                return found
        if places[-1].split("/")[0] == "..":
            raise ValueError("points outside the source; give the folder that holds it as SOURCE")
        last = plain(PurePosixPath(text).name)
        tries = [self.whole.get(plain(place)) for place in places]
        tries += [self.last.get(one) for one in (last, UPLOAD.sub("", last))]
        several = next(filter(None, tries), [])
        if len(several) == 1:
            return several[0]
        if several:
            raise ValueError(f"{len(several)} files have that name; write its path as it is")
        raise ValueError("no such image in the source")


def annotated_offer(
    folder: Path, paths: list[PurePosixPath], file: Path, labels: Labels
) -> tuple[Offer, list[PurePosixPath]]:
    """What the file says of images in the folder, and those of which it says nothing but their
    folder does."""
    below = file.resolve().parent
    inside = below.relative_to(folder.resolve()) if below.is_relative_to(folder.resolve()) else ""
    names = Names(paths, PurePosixPath(inside))
    offer = Offer()
    masks: dict[PurePosixPath, PurePosixPath] = {}
    found: dict[PurePosixPath, list[Entry]] = {}
    for entry in read_entries(file):
        try:
            path = names.find(entry.name)
            if entry.mask:
                masks[path] = names.find(entry.mask)
        except ValueError as error:
            offer.refuse(PurePosixPath(entry.name), f"{entry.where}: {error}")
            continue
        found.setdefault(path, []).append(entry)
    for path, entries in found.items():
        take(offer, path, entries, masks.get(path), labels)
    others = masks_among(paths, labels) | set(masks.values())
    rest = [path for path in paths if path not in found and path not in others]
    with_masks(offer, others - set(masks.values()), labels)
    for path in rest:
        if not label_is_certain(path, labels):
            offer.refuse(path, f"{file.name} does not name it; name it there, or say --labels")
    return offer, [path for path in rest if label_is_certain(path, labels)]


def label_is_certain(path: PurePosixPath, labels: Labels) -> bool:
    """Whether the folders of an image say its label, so that no file of annotations has to."""
    said = {says(part) for part in path.parts[:-1]} & {Says.GOOD, Says.DEFECT}
    return bool(said or labels.of(path.parent) or layout_root(path) is not None)


def take(
    offer: Offer,
    path: PurePosixPath,
    entries: list[Entry],
    mask: PurePosixPath | None,
    labels: Labels,
) -> None:
    """Add one image to the offer, or the reason why it is not taken."""
    where = entries[0].where
    try:
        if problem := next((one.problem for one in entries if one.problem), ""):
            raise ValueError(problem)
        label = label_of([name for one in entries for name in one.names], path, labels, where)
    except ValueError as error:
        offer.refuse(path, str(error))
        return
    split = next((one.split for one in entries if one.split), None)
    if split not in (None, *SPLITS):
        offer.refuse(path, f"{where}: no split {split!r}; known: {', '.join(SPLITS)}")
        return
    place = PurePosixPath(split or split_by_words(path.parent, label), label, path.name)
    marks = tuple(mark for one in entries for mark in one.marks)
    if label == SKIP:
        offer.skipped.append(path)
    elif reason := layout_problem(place):
        offer.refuse(path, f"{where}: {reason}")
    elif label == GOOD:
        offer.arrivals.append(Arrival(path, place))
    else:
        drawing = Drawing(where, marks) if marks and not mask else None
        offer.arrivals.append(replace(Arrival(path, place, mask), drawing=drawing))


def label_of(said: list[str], path: PurePosixPath, labels: Labels, where: str) -> str:
    """The label of an image: of several types of defects, `combined`; without any the one that its
    folder says, and else good. DataError where what is said goes against itself."""
    names = {GOOD if says(name) is Says.GOOD else plain(name) for name in said}
    if not names:
        folders = [part for part in path.parts[:-1] if says(part) is Says.DEFECT]
        return labels.of(path.parent) or (plain(folders[-1]) if folders else GOOD)
    if GOOD in names and len(names) > 1:
        raise DataError(f"{where}: called {' and '.join(sorted(names))}; say one")
    label = names.pop() if len(names) == 1 else COMBINED
    try:
        check_label(label)
    except DataError:
        label = MASK
    if label == MASK:
        raise DataError(f"{where}: {said[0]!r} cannot be the name of a label; give it another")
    return label
