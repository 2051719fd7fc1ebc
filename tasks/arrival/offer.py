"""The content of a source: every image with its place in the layout and its mask."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tasks.images.layout import (
    EXPECTED,
    MASKS,
    SPLITS,
    image_files,
    is_mask,
    layout_problem,
    orphan_problem,
    pair_masks,
)
from tasks.images.read_image import IMAGE_SUFFIXES
from tasks.workspace.errors import DataError

# Names of folders without the layout that must not be used as good images.
DEFECTIVE = frozenset(
    {"bad", "defect", "defects", "defective", "ng", "nok", "anomaly", "anomalous", "abnormal"}
    | {"mask", "masks", "reject", "rejects"}
)
GOOD = frozenset({"good", "ok"})


@dataclass(frozen=True)
class Arrival:
    """An image of the source: its file, its place `<split>/<label>/<name>`, and its mask if it has
    one."""

    file: Path
    place: PurePosixPath
    mask: Path | None = None


@dataclass(frozen=True)
class Offer:
    """All arrivals sorted by place, and (file, reason) of each file refused because of its
    place."""

    arrivals: list[Arrival]
    refused: list[tuple[str, str]]


def read_offer(folder: Path, source: str) -> Offer:
    """The images of a folder in MVTec AD layout, or of a folder with only good images."""
    paths = list(image_files(folder))
    if not paths:
        raise DataError(
            f"{source}: no image found; looked for {', '.join(sorted(IMAGE_SUFFIXES))} "
            f"as {EXPECTED}, or anywhere in a folder of good images"
        )
    roots = sorted({root for path in paths if (root := layout_root(path)) is not None})
    if not roots:
        check_only_good(folder, paths, source)
        return good_arrivals(folder, paths)
    if len(roots) > 1:
        names = ", ".join(str(root) for root in roots[:5])
        raise DataError(f"{source}: holds several products ({names}); ingest one at a time")
    return arrivals_in_layout(folder, roots[0], paths)


def layout_root(path: PurePosixPath) -> PurePosixPath | None:
    """The folder above `train`, `test` or `ground_truth` in a path; None if the path has none of
    these."""
    for depth, part in enumerate(path.parts[:-1]):
        if part in (*SPLITS, MASKS):
            return PurePosixPath(*path.parts[:depth])
    return None


def arrivals_in_layout(folder: Path, root: PurePosixPath, paths: list[PurePosixPath]) -> Offer:
    """Images and masks of a folder that has the MVTec AD layout at `root`."""
    offer = Offer([], [])
    inside = []
    for path in paths:
        place = path.relative_to(root) if path.is_relative_to(root) else path
        reason = "" if is_mask(place) else layout_problem(place)
        if reason:
            offer.refused.append((str(path), reason))
        else:
            inside.append(place)
    masks, orphans = pair_masks(inside)
    offer.refused.extend((str(root / path), orphan_problem(path)) for path in orphans)
    for place in inside:
        if not is_mask(place):
            mask = folder / root / masks[place] if place in masks else None
            offer.arrivals.append(Arrival(folder / root / place, place, mask))
    return offer


def check_only_good(folder: Path, paths: list[PurePosixPath], source: str) -> None:
    """DataError if a folder without the layout may hold images that are not good."""
    for part in (folder, folder.parent):
        if part.name in (*SPLITS[1:], MASKS) and (part.parent / "train").is_dir():
            raise DataError(f"{source}: is a part of {part.parent}; ingest that folder instead")
    above = {part.lower() for path in paths for part in path.parts[:-1]}
    tops = {path.parts[0].lower() if len(path.parts) > 1 else "" for path in paths}
    doubtful = sorted(above & DEFECTIVE) or (sorted(tops) if tops & GOOD and tops - GOOD else [])
    if doubtful:
        raise DataError(
            f"{source}: {', '.join(filter(None, doubtful))} may hold more than good images; "
            f"arrange the folder as {EXPECTED}"
        )


def good_arrivals(folder: Path, paths: list[PurePosixPath]) -> Offer:
    """All images of a folder without the layout, as training images."""
    offer = Offer([], [])
    for path in paths:
        place = PurePosixPath("train", "good", path.name)
        reason = layout_problem(place)
        if path.stem.endswith("_mask"):
            reason = f"looks like a mask; put it into {MASKS}/<defect>"
        if reason:
            offer.refused.append((str(path), reason))
        else:
            offer.arrivals.append(Arrival(folder / path, place))
    return offer
