"""The images and masks in a product's folder, by content and by name."""

import hashlib
from pathlib import Path, PurePosixPath

from tasks.images.layout import MASKS, image_files, image_key, is_mask, mask_key, normalised_name
from tasks.images.read_image import read_bytes


class KnownImages:
    """Finds images by split, label, stem and content. Contents are hashed when needed."""

    def __init__(self, images: Path) -> None:
        self.images = images
        self.by_size: dict[int, list[PurePosixPath]] = {}
        self.hashes: dict[PurePosixPath, str] = {}
        self.stems: dict[tuple[str, str, str], PurePosixPath] = {}
        self.masks: dict[tuple[str, str], PurePosixPath] = {}
        self.spelled: dict[str, str] = {}  # labels in small letters -> as their folder has them
        for path in image_files(images) if images.is_dir() else ():
            if is_mask(path):
                self.add_mask(path)
            else:
                self.add(path, (images / path).stat().st_size)

    def add(self, path: PurePosixPath, size: int) -> None:
        self.by_size.setdefault(size, []).append(path)
        self.stems[path.parts[0], *image_key(path)] = path
        self.spelled.setdefault(path.parent.name.casefold(), path.parent.name)

    def as_spelled(self, place: PurePosixPath) -> PurePosixPath:
        """The place, with its label as the product already spells it."""
        label = place.parent.name
        return place.parent.with_name(self.spelled.get(label.casefold(), label)) / place.name

    def add_mask(self, path: PurePosixPath) -> None:
        self.masks[mask_key(path)] = path

    def same_content(self, data: bytes, digest: str) -> list[PurePosixPath]:
        """Images with this content. Only those of equal size are read."""
        return [path for path in self.by_size.get(len(data), []) if self.hash(path) == digest]

    def hash(self, path: PurePosixPath) -> str:
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256(read_bytes(self.images / path)).hexdigest()
        return self.hashes[path]

    def free_place(self, place: PurePosixPath, digest: str) -> PurePosixPath:
        """`place`; if its stem is in use, with 8 digits of the content's hash appended."""
        place = place.with_name(normalised_name(place.name))
        if (place.parts[0], *image_key(place)) in self.stems:
            return place.with_name(f"{place.stem}-{digest[:8]}{place.suffix}")
        return place

    def mask_of(self, image: PurePosixPath) -> PurePosixPath | None:
        """The mask that belongs to an image, if there is one."""
        return self.masks.get(image_key(image))

    def mask_place(self, image: PurePosixPath, suffix: str) -> PurePosixPath:
        return PurePosixPath(MASKS, image.parent.name, f"{image.stem}_mask{suffix}")
