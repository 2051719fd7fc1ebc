"""Turn an image of any size into the input of an algorithm, and its map back to the image size."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import MEAN, STD
from tasks.spec.schema import Image
from tasks.workspace.errors import DataError

GREY = (0.299, 0.587, 0.114)  # luma of RGB, ITU-R BT.601


@dataclass(frozen=True)
class Preprocess:
    """Crop to the region of interest, resize and normalise; `restore` reverses the geometry."""

    spec: Image

    def __call__(self, image: np.ndarray) -> Tensor:
        """Image (H, W, C) in 0..1, C 1 or 3 -> normalised (3, h, w) of the spec's size."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.region(image))).movedim(2, 0)
        if pixels.shape[0] == 3 and self.spec.color == "grey":
            pixels = (pixels * torch.tensor(GREY).view(3, 1, 1)).sum(0, keepdim=True)
        resized = self._fit(pixels.expand(3, -1, -1))
        return (resized - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)

    def region(self, image: np.ndarray) -> np.ndarray:
        """The region of interest of an array (H, W, ...)."""
        if self.spec.roi is None:
            return image
        left, top, width, height = self.spec.roi
        if left < 0 or top < 0 or top + height > image.shape[0] or left + width > image.shape[1]:
            raise DataError(
                f"image.roi {list(self.spec.roi)} reaches outside an image of "
                f"{image.shape[1]} x {image.shape[0]} pixels"
            )
        return image[top : top + height, left : left + width]

    def restore(self, maps: Tensor, shape: tuple[int, int]) -> Tensor:
        """Map (h, w) -> (H, W) of a region of `shape`. Pixels outside a crop get the lowest
        value."""
        height, width = self._inner(shape)
        h, w = maps.shape
        if self.spec.resize == "pad":  # remove the padding
            top, left = (h - height) // 2, (w - width) // 2
            return _resize(maps[top : top + height, left : left + width], shape)
        if self.spec.resize == "crop":  # put the visible part into its place
            top, left = (height - h) // 2, (width - w) // 2
            whole = maps.new_full((height, width), float(maps.min()))
            whole[top : top + h, left : left + w] = maps
            return _resize(whole, shape)
        return _resize(maps, shape)

    def _fit(self, pixels: Tensor) -> Tensor:
        height, width = self._inner((pixels.shape[1], pixels.shape[2]))
        resized = F.interpolate(
            pixels[None], (height, width), mode="bilinear", antialias=True, align_corners=False
        )[0]
        h, w = self.spec.size
        if self.spec.resize == "pad":
            top, left = (h - height) // 2, (w - width) // 2
            sides = (left, w - width - left, top, h - height - top)
            return F.pad(resized[None], sides, mode="replicate")[0]
        top, left = (height - h) // 2, (width - w) // 2
        return resized[:, top : top + h, left : left + w]

    def _inner(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Height and width of the resized image before padding or cropping."""
        h, w = self.spec.size
        if self.spec.resize == "stretch":
            return h, w
        pick = min if self.spec.resize == "pad" else max
        scale = pick(h / shape[0], w / shape[1])
        bound = (min, h, w) if self.spec.resize == "pad" else (max, h, w)
        return bound[0](round(shape[0] * scale), h), bound[0](round(shape[1] * scale), w)


def _resize(maps: Tensor, shape: tuple[int, int]) -> Tensor:
    return F.interpolate(maps[None, None], shape, mode="bilinear", align_corners=False)[0, 0]
