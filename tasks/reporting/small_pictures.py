"""The small pictures of a page: from the archives of evaluations, or made from images."""

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

import numpy as np

from tasks.reporting.view import ProductView
from tasks.workspace.errors import DataError
from tasks.workspace.paths import Workspace

if TYPE_CHECKING:
    from tasks.images.decode import Picture

KINDS = ("image", "heat", "rebuilt")
EDGE = ("edge_image", "edge_heat")  # of good images that set a threshold, by their place
ORIGINALS = "images"  # used like a model name: pictures of any image, by its row in the manifest


class PictureArchive:
    """The archive of an evaluation's pictures. A damaged archive has no pictures."""

    def __init__(self, path: Path | None) -> None:
        self.archive: ZipFile | None = None
        self.outlines: dict[int, dict[str, str]] = {}
        try:
            if path is not None and path.is_file():
                self.archive = ZipFile(path)
                found = json.loads(self.archive.read("outlines.json"))
                self.outlines = {int(index): drawn for index, drawn in found.items()}
        except (OSError, BadZipFile, KeyError, ValueError):
            self.archive = None

    def get(self, kind: str, index: int) -> bytes | None:
        """A WebP picture."""
        if self.archive is None or kind not in KINDS + EDGE:
            return None
        try:
            return self.archive.read(f"{kind}/{index:04d}.webp")
        except (KeyError, OSError, BadZipFile):
            return None

    def offers(self, kind: str) -> bool:
        """Whether any row has a picture of this kind."""
        names = self.archive.namelist() if self.archive else []
        return any(name.startswith(f"{kind}/") for name in names)

    def kinds(self, index: int) -> Iterator[tuple[str, bytes]]:
        """All pictures of a row."""
        for kind in KINDS:
            if found := self.get(kind, index):
                yield kind, found


def page_picture(
    workspace: Workspace, product: ProductView, model: str, kind: str, index: int
) -> bytes | None:
    """One picture (WebP) that a served page requests."""
    if model == ORIGINALS:
        paths = product.data.paths if product.data else []
        return (
            small_original(product.folder / "images" / paths[index]) if index < len(paths) else None
        )
    for one in product.models:
        if one.key == model:
            return PictureArchive(one.pictures).get(kind, index)
    return None


@lru_cache(maxsize=512)
def small_original(path: Path) -> bytes | None:
    """A small version of a product's image; None if it cannot be read."""
    from tasks.images.decode import decode_image
    from tasks.images.pictures import SIDE, encode_webp, rgb_picture, shrink_picture
    from tasks.images.read_image import read_bytes

    try:
        picture = decode_image(read_bytes(path), path)
    except (DataError, OSError):
        return None
    return encode_webp(shrink_picture(rgb_picture(visible(picture)), SIDE // 2))


def visible(picture: "Picture") -> np.ndarray:
    """Pixels (H, W, C) for people: 1 is the brightest value that the camera has, also one of fewer
    than 16 bits."""
    from tasks.checks.used_bits import used_bits
    from tasks.images.preprocess import gain

    deep = {"": int(picture.pixels.max())} if picture.bits == 16 else {}
    bits = used_bits(deep)
    return picture.unit * np.float32(gain(bits)) if bits else picture.unit


@lru_cache(maxsize=512)
def mask_outline(path: Path) -> tuple[tuple[int, int], str] | None:
    """Size (width, height) of a small drawing of a mask and its outline as an SVG path; None if it
    cannot be read."""
    from tasks.images.outlines import outline
    from tasks.images.pictures import SIDE
    from tasks.images.read_image import read_mask

    try:
        mask = read_mask(path)
    except DataError:
        return None
    scale = min(1.0, SIDE / max(mask.shape))
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    return (width, height), outline(mask, (width, height))
