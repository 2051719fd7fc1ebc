"""Store images and masks in a product one by one, each exactly once."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tasks.arrival.known_images import KnownImages
from tasks.arrival.offer import Arrival
from tasks.images.decode import decode_image
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

    def summary(self) -> str:
        """One line of counts, then the refused files with their reasons."""
        lines = [
            f"{len(self.new)} new images, {len(self.known)} known, "
            f"{len(self.masks)} new masks, {len(self.refused)} files refused"
        ]
        lines += [f"  refused {name}: {reason}" for name, reason in self.refused[:LISTED]]
        if len(self.refused) > LISTED:
            lines.append(f"  and {len(self.refused) - LISTED} more refused")
        return "\n".join(lines)


class Intake:
    """Puts arrivals into the images folder and records the outcome of each in `report`."""

    def __init__(
        self, folder: Path, known_images: KnownImages, scratch: Path, report: IngestReport
    ) -> None:
        self.folder = folder  # that names in the report are relative to
        self.known_images = known_images
        self.scratch = scratch
        self.report = report

    def take(self, arrival: Arrival) -> None:
        """Store one image in the images folder. Its mask is stored first."""
        try:
            data = self.read(arrival.file)
            digest = hashlib.sha256(data).hexdigest()
            place, known = self.destination(arrival, data, digest)
            if not known:
                decode_image(data, arrival.file)
        except DataError as error:
            self.refuse(arrival.file, error)
            if arrival.mask:
                self.refuse(arrival.mask, f"its image {self.name(arrival.file)} was refused")
            return
        if arrival.mask:
            self.take_mask(arrival.mask, data, place, known)
        if known:
            self.report.known.append(str(place))
            return
        put(data, self.known_images.images / place, self.scratch)
        self.known_images.add(place, len(data))
        self.known_images.hashes[place] = digest
        self.report.new.append(str(place))

    def take_mask(self, mask: Path, image: bytes, place: PurePosixPath, known: bool) -> None:
        """Store the mask of the image at `place` in the images folder."""
        there = self.known_images.mask_of(place)
        try:
            data = self.read(mask)
            if there and read_bytes(self.known_images.images / there) == data:
                return
            if there and known:
                raise DataError(f"{place} has another mask, {there}; delete that one to replace it")
            check_mask(data, image, self.name(mask))
        except DataError as error:
            self.refuse(mask, error)
            return
        # a mask without its image was left by a run that was interrupted
        target = there or self.known_images.mask_place(place, mask.suffix)
        put(data, self.known_images.images / target, self.scratch)
        self.known_images.add_mask(target)
        self.report.masks.append(str(target))

    def destination(self, arrival: Arrival, data: bytes, digest: str) -> tuple[PurePosixPath, bool]:
        """The place of an image, and whether it is already there."""
        same = self.known_images.same_content(data, digest)
        here = [path for path in same if path.parent == arrival.place.parent]
        if here:
            return here[0], True
        if same:
            raise DataError(
                f"same content as {same[0]}, and an image has one label; "
                "delete the wrong one, then ingest again"
            )
        return self.known_images.free_place(arrival.place, digest), False

    def read(self, file: Path) -> bytes:
        if not file.name.isprintable() or not file.parent.name.isprintable():
            raise DataError("a name that cannot be printed; rename the file")
        return read_bytes(file)

    def refuse(self, file: Path, reason: DataError | str) -> None:
        text = str(reason).removeprefix(f"{file}: ")
        self.report.refused.append((self.name(file), text))

    def name(self, file: Path) -> str:
        """The file name in the source, printable even if its bytes are not UTF-8."""
        name = file.relative_to(self.folder).as_posix()
        return name.encode("utf-8", "backslashreplace").decode()


def check_mask(data: bytes, image: bytes, name: str) -> None:
    """DataError unless the mask fits its image and marks a defect."""
    mask = mask_pixels(decode_image(data, name))  # (H, W)
    height, width = decode_image(image, name).pixels.shape[:2]
    if mask.shape != (height, width):
        raise DataError(
            f"{mask.shape[1]} x {mask.shape[0]} pixels, but its image has {width} x {height}; "
            "draw the mask on the image as it is stored"
        )
    if not mask.any():
        raise DataError("the mask is empty; mark the defect, or leave the mask out")
