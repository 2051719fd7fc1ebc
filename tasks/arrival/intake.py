"""Store images and masks in a product one by one, each exactly once."""

import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tasks.arrival.known_images import KnownImages
from tasks.arrival.offer import Arrival
from tasks.arrival.safe_paths import LONGEST_PART, printable
from tasks.images.decode import decode_image, orientation_of
from tasks.images.deep_colour import SIDEWAYS, turn_pixels
from tasks.images.layout import normalised_name
from tasks.images.read_image import mask_pixels, read_bytes
from tasks.workspace.errors import DataError
from tasks.workspace.files import put

LISTED = 10  # refused files in a summary


@dataclass
class IngestReport:
    """New and known paths in the product, and (file, reason) of each refused file."""

    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)  # new ones
    refused: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.new or self.masks)

    @property
    def images(self) -> list[str]:
        """Those of the source that are in the product now."""
        return [*self.new, *self.known]

    def summary(self) -> str:
        """A line of counts, a line of labels, then the refused files with their reasons."""
        lines = [
            f"{len(self.new)} new images, {len(self.known)} known, "
            f"{len(self.masks)} new masks, {len(self.refused)} files refused"
        ]
        if places := Counter("/".join(PurePosixPath(one).parts[:2]) for one in self.images):
            lines.append("  " + ", ".join(f"{place} {n}" for place, n in sorted(places.items())))
        lines += [
            f"  refused {printable(name)}: {printable(reason)}"
            for name, reason in self.refused[:LISTED]
        ]
        if len(self.refused) > LISTED:
            lines.append(f"  and {len(self.refused) - LISTED} more refused")
        return "\n".join(lines)


class Intake:
    """Puts arrivals into the images folder and records the outcome of each in `report`."""

    def __init__(
        self, folder: Path, known_images: KnownImages, scratch: Path, report: IngestReport
    ) -> None:
        self.folder = folder  # of the source
        self.known_images = known_images
        self.scratch = scratch
        self.report = report

    def take(self, arrival: Arrival) -> None:
        """Store one image in the images folder. Its mask is stored first."""
        try:
            data = self.read(arrival.path)
            digest = hashlib.sha256(data).hexdigest()
            place, known = self.destination(arrival.place, data, digest)
            if not known:
                decode_image(data, arrival.path)
        except DataError as error:
            self.refuse(arrival.path, error)
            if arrival.mask:
                self.refuse(arrival.mask, f"its image {arrival.path} was refused")
            return
        if arrival.mask or arrival.drawing:
            self.take_mask(arrival, data, place, known)
        if known:
            self.report.known.append(str(place))
            return
        put(data, self.known_images.images / place, self.scratch)
        self.known_images.add(place, len(data))
        self.known_images.hashes[place] = digest
        self.report.new.append(str(place))

    def take_mask(self, arrival: Arrival, image: bytes, place: PurePosixPath, known: bool) -> None:
        """Store the mask of the image at `place` in the images folder."""
        there = self.known_images.mask_of(place)
        mask = arrival.mask or arrival.path.with_name(f"{arrival.path.name} (mask)")
        try:
            data = self.read(mask) if arrival.mask else drawn(arrival, image)
            before = read_bytes(self.known_images.images / there) if there else None
            if before == data:
                return
            fitted = fitting_mask(data, image, mask)
            if before == fitted:
                return
            if there and known:
                raise DataError(f"{place} has another mask, {there}; delete that one to replace it")
        except DataError as error:
            self.refuse(mask, error)
            return
        # a mask without its image was left by a run that was interrupted
        suffix = arrival.mask.suffix if arrival.mask and fitted == data else ".png"
        target = there or self.known_images.mask_place(place, suffix)
        put(fitted, self.known_images.images / target, self.scratch)
        self.known_images.add_mask(target)
        self.report.masks.append(str(target))

    def destination(
        self, wanted: PurePosixPath, data: bytes, digest: str
    ) -> tuple[PurePosixPath, bool]:
        """The place of an image, and whether it is already there."""
        place = self.known_images.as_spelled(wanted)
        same = self.known_images.same_content(data, digest)
        here = [path for path in same if path.parent == place.parent]
        if here:
            return here[0], True
        if same:
            raise DataError(
                f"same content as {same[0]}, and an image has one label; "
                "delete the wrong one, then ingest again"
            )
        return self.known_images.free_place(place, digest), False

    def read(self, path: PurePosixPath) -> bytes:
        """The content of a file of the source."""
        if not path.name.isprintable() or not path.parent.name.isprintable():
            raise DataError("a name that cannot be printed; rename the file")
        if any(len(normalised_name(part).encode()) > LONGEST_PART for part in path.parts[-2:]):
            raise DataError(f"a name of more than {LONGEST_PART} bytes; rename the file")
        return read_bytes(self.folder / path)

    def refuse(self, path: PurePosixPath, reason: DataError | str) -> None:
        text = str(reason).removeprefix(f"{self.folder / path}: ").removeprefix(f"{path}: ")
        self.report.refused.append((str(path), text))


def drawn(arrival: Arrival, image: bytes) -> bytes:
    """The mask, as PNG, that a file of annotations draws on the image with these bytes."""
    assert arrival.drawing
    height, width = decode_image(image, arrival.path).pixels.shape[:2]
    return arrival.drawing.png((height, width))


def fitting_mask(data: bytes, image: bytes, name: PurePosixPath) -> bytes:
    """The bytes of a mask that lies on its image as a viewer shows it; DataError unless it fits and
    marks a defect.

    Where EXIF turns the image and not the mask, the mask was drawn on what is stored if it has that
    size: it is turned alike.
    """
    marks = mask_pixels(data, name)  # (H, W)
    pixels = decode_image(image, name).pixels
    if np.array_equal(decode_image(data, name).pixels, pixels):
        raise DataError("shows its image itself; draw the defect bright on black")
    shown = pixels.shape[:2]
    turn = orientation_of(image, name) if orientation_of(data, name) == 1 else 1
    stored = shown[::-1] if turn in SIDEWAYS else shown
    if marks.shape not in (shown, stored):
        raise DataError(
            f"{marks.shape[1]} x {marks.shape[0]} pixels, but its image has "
            f"{shown[1]} x {shown[0]}; draw the mask on the whole image, as a viewer shows it"
        )
    if not marks.any():
        raise DataError("the mask is empty; mark the defect, or leave the mask out")
    if turn == 1 or (marks.shape == shown != stored):
        return data
    if shown == stored:
        raise DataError(
            f"a viewer turns its image (EXIF orientation {turn}), and nothing tells whether the "
            "mask was drawn before or after; save the image upright and draw the mask on that"
        )
    file = io.BytesIO()
    turned = turn_pixels(marks[..., None], turn)[..., 0]
    Image.fromarray(turned.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue()
