"""Turn an image of any size into the input of an algorithm, and its map back to the image size."""

from dataclasses import dataclass

import numpy as np

from ad_models.imagenet import MEAN, STD
from tasks.images.resample import Array, resize_image, resize_map
from tasks.spec.schema import Image
from tasks.workspace.errors import DataError

GREY = (0.299, 0.587, 0.114)  # luma of RGB, ITU-R BT.601


def gain(bits: int) -> float:
    """By what a value of a 16-bit image that uses only `bits` is multiplied, to be 1 at most."""
    return 65535 / ((1 << bits) - 1)


@dataclass(frozen=True)
class Preprocess:
    """Crop to the region of interest, resize and normalise; `restore` reverses the geometry."""

    spec: Image

    def __call__(self, image: Array) -> Array:
        """Image (H, W, C) in 0..1, C 1 or 3 -> normalised (3, h, w) of the spec's size."""
        pixels = self.view(image)
        if pixels.shape[2] == 3 and self.spec.color == "grey":
            pixels = pixels @ np.array(GREY, np.float32)[:, None]
        mean, std = (np.array(values, np.float32)[:, None, None] for values in (MEAN, STD))
        return (self._fit(pixels) - mean) / std

    def view(self, image: Array) -> Array:
        """The region of interest of an image (H, W, C), where 1 is the brightest value that the
        camera has."""
        seen = self.region(image)
        return seen if self.spec.bits is None else seen * np.float32(gain(self.spec.bits))

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

    def restore(self, maps: Array, shape: tuple[int, int]) -> Array:
        """Map (h, w) -> (H, W) of a region of `shape`. Pixels outside a crop get the lowest
        value."""
        height, width = self._inner(shape)
        h, w = maps.shape
        if self.spec.resize == "pad":  # remove the padding
            top, left = (h - height) // 2, (w - width) // 2
            return resize_map(maps[top : top + height, left : left + width], shape)
        if self.spec.resize == "crop":  # put the visible part into its place
            top, left = (height - h) // 2, (width - w) // 2
            whole = np.full((height, width), maps.min(), np.float32)
            whole[top : top + h, left : left + w] = maps
            return resize_map(whole, shape)
        return resize_map(maps, shape)

    def _fit(self, pixels: Array) -> Array:
        """Pixels (H, W, C) -> (C, h, w) of the spec's size."""
        height, width = self._inner((pixels.shape[0], pixels.shape[1]))
        resized = resize_image(pixels, (height, width))
        h, w = self.spec.size
        if self.spec.resize == "pad":
            top, left = (h - height) // 2, (w - width) // 2
            sides = ((0, 0), (top, h - height - top), (left, w - width - left))
            return np.pad(resized, sides, mode="edge")
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
