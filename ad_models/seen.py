"""Images of which only the features are at hand."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Seen:
    """What a frozen backbone sees in a batch of images; stands where the images would.

    maps: of the backbone's `Pyramid`, one (B, C, h, w) per layer. size: height and width of the
    images, pixels. A `Pyramid` of the same backbone and layers returns the maps.
    """

    ndim, dtype = 4, torch.float32  # of the images

    def __init__(self, maps: Sequence[Tensor], size: Sequence[int]) -> None:
        self.maps = list(maps)
        self.size = tuple(size)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, *self.size))

    def __len__(self) -> int:
        return len(self.maps[0])

    def split(self, count: int) -> tuple["Seen", ...]:
        """Parts of `count` images."""
        parts = zip(*(layer.split(count) for layer in self.maps), strict=True)
        return tuple(Seen(part, self.size) for part in parts)

    def to(self, device: torch.device, non_blocking: bool = False) -> "Seen":
        return Seen([layer.to(device, non_blocking=non_blocking) for layer in self.maps], self.size)
