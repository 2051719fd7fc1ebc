"""Good images with painted defects, to judge parameters by where no real defect may be looked at.

They are files like all others: regions of interest, tiles, bits and features work as for any image.
"""

import hashlib
from pathlib import Path

import numpy as np
import tifffile
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ad_models import seeded
from ad_models.synthetic import drawn, perlin_masks
from tasks.images.decode import decode_image
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_bytes
from tasks.workspace.files import file_beside

SIDE = 256  # pixels of the longer side on which masks and textures are drawn
FAINT, CLEAR = 0.15, 0.6  # how much of a texture is seen: with clear ones all parameters are good
Row = dict[str, str]


def paint(images: Path, row: Row, folder: Path, preprocess: Preprocess, seed: int) -> Row:
    """The row of a painted copy, with its mask; they are written where they are not there yet.

    images: of the product; folder: of the copies. The defect lies in the region of interest.
    """
    key = hashlib.sha256(f"{row['sha256']} {seed} {preprocess.spec.roi}".encode()).hexdigest()
    picture, mask = folder / f"{key[:32]}.tif", folder / f"{key[:32]}_mask.npy"
    if not (picture.is_file() and mask.is_file()):
        pixels = decode_image(read_bytes(images / row["path"]), row["path"]).pixels.copy()
        marked = spoil(preprocess.region(pixels), int(key[:8], 16), preprocess.spec.bits)
        with file_beside(mask) as partial, partial.open("wb") as file:
            np.save(file, marked)
            file.flush()
            partial.replace(mask)
        with file_beside(picture) as partial:
            tifffile.imwrite(partial, pixels.squeeze(), photometric=colours(pixels))
            partial.replace(picture)
    return {"path": str(picture), "sha256": key, "mask": str(mask)}


def colours(pixels: np.ndarray) -> str:
    return "rgb" if pixels.shape[2] == 3 else "minisblack"


def spoil(region: np.ndarray, seed: int, bits: int | None) -> NDArray[np.bool_]:
    """Paint a defect into pixels (H, W, C), in their place; its mask (H, W)."""
    height, width = region.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    small = [max(8, round(side * scale)) for side in (height, width)]
    with seeded(seed):
        masks = perlin_masks(1, small, torch.device("cpu"))
        texture = drawn(1, small, torch.device("cpu"))
        seen = float(torch.empty(()).uniform_(FAINT, CLEAR))
    marked = F.interpolate(masks, (height, width))[0, 0].numpy() > 0
    colour = F.interpolate(texture, (height, width), mode="bilinear")[0].permute(1, 2, 0).numpy()
    if region.shape[2] == 1:
        colour = colour.mean(axis=2, keepdims=True)
    top = (1 << bits) - 1 if bits and region.dtype == np.uint16 else np.iinfo(region.dtype).max
    blended = (1 - seen) * region[marked] + seen * top * colour[marked]
    region[marked] = np.round(blended).astype(region.dtype)
    return marked
