"""Set the mask of a defect image: a file in ground_truth, and a record."""

import io
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from tasks.arrival.intake import fitting_mask
from tasks.build.records import version
from tasks.images.layout import MASKS, image_files, pair_masks
from tasks.images.read_image import mask_pixels, read_bytes
from tasks.products.changing import Content, locked_for_change, one_line, version_of, write_change
from tasks.products.correct import current_label, folder_label, folder_labels
from tasks.spec.corrections import DROP
from tasks.workspace.errors import ChangedError, DataError
from tasks.workspace.paths import Workspace

NAME = PurePosixPath("the mask")  # in messages


def set_mask(
    workspace: Workspace,
    product: str,
    image: str,
    data: bytes,
    *,
    by: str,
    reason: str,
    seen: str | None = None,
) -> Content:
    """Set the mask of a defect image; the record. It applies from the next run on.

    image: path relative to the product's images. data: an image file of the same size, bright where
    the defect is. seen: version of the mask that the caller saw, empty for none; ChangedError if it
    is different now. DataError for a mask that is empty, of another size, or of an image that can
    have none.
    """
    workspace.require(product)
    by, reason = one_line(by, "the name"), one_line(reason, "the reason")
    images = workspace.images(product)
    with locked_for_change(workspace, images, None):
        require_defect(workspace, product, image)
        there, target = mask_places(images, PurePosixPath(image))
        if seen is not None and seen != mask_version(images, there):
            raise ChangedError(
                f"the mask of {image} was changed by somebody else in the meantime; open it again"
            )
        drawn = whole_mask(data, read_bytes(images / image), image)
        share = float(drawn.mean())
        record: Content = {"by": by, "reason": reason, "image": image, "old": str(there or "")}
        record |= {"new": str(target), "what": f"{image}: mask of {share:.2%} of the image"}
        written = write_change(workspace, product, "mask", images / target, as_png(drawn), record)
        if there and there != target:
            (images / there).unlink()
        if (workspace.product(product) / "images.dvc").is_file():
            version(workspace, images)
        return written


def require_defect(workspace: Workspace, product: str, image: str) -> None:
    """DataError unless the image is one of a defect, by its folder and by its label."""
    rows = folder_labels(workspace.images(product))
    if folder_label(rows, image) == "good":
        raise DataError(
            f"{image} lies among good images, which have no masks; move the file to test/<type>"
        )
    if (label := current_label(rows, workspace.corrections(product), image)) in ("good", DROP):
        raise DataError(
            f"the label of {image} is {label}, and only a defect has a mask; correct that first"
        )


def mask_places(images: Path, image: PurePosixPath) -> tuple[PurePosixPath | None, PurePosixPath]:
    """The present mask of an image, and where a PNG of its mask belongs."""
    paths = list(image_files(images))
    there = pair_masks(paths)[0].get(image)
    if there and there.suffix == ".png":
        return there, there
    target = PurePosixPath(MASKS, image.parent.name, f"{image.stem}_mask.png")
    others = [path for path in paths if path != there]
    if pair_masks(sorted({*others, target}, key=str))[0].get(image) != target:
        raise DataError(
            f"another image of this label is called {image.stem} too, and a mask belongs to one of "
            "them; rename one of the two files"
        )
    return there, target


def mask_version(images: Path, mask: PurePosixPath | None) -> str:
    """The version of a mask's file; empty without one."""
    return version_of(images / mask) if mask else ""


def whole_mask(data: bytes, image: bytes, name: str) -> np.ndarray:
    """Pixels (H, W) that a mask marks, at the size of its image; DataError if it does not fit."""
    try:
        return mask_pixels(fitting_mask(data, image, NAME), NAME)
    except DataError as error:
        text = str(error).removeprefix(f"{NAME}: ")
        raise DataError(f"mask of {name}: {text}") from None


def as_png(marked: np.ndarray) -> bytes:
    """A mask (H, W) as a PNG of 0 and 255."""
    file = io.BytesIO()
    Image.fromarray(marked.astype(np.uint8) * 255).save(file, "PNG")
    return file.getvalue()
