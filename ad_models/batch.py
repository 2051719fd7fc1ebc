"""What a loader yields."""

from collections.abc import Iterable, Iterator, Sized
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ad_models.errors import InputError


class Batch(NamedTuple):
    """One batch of a loader. Only `image` is always present."""

    # (B, 3, H, W) float32, ImageNet-normalised; or `Seen`, for algorithms with `reads_features`
    image: Tensor
    category: list[str] | None = None  # product of each image; few-shot episodes need it

    def to(self, device: torch.device) -> "Batch":
        return self._replace(image=self.image.to(device, non_blocking=True))


class Batches:
    """The batches of a loader, which may yield images alone."""

    def __init__(self, loader: Iterable) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Batch]:
        return map(as_batch, self.loader)


class CountedBatches(Batches):
    """Of a loader that knows how many there are."""

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]


def batches(loader: Iterable) -> Iterable[Batch]:
    """Batches, with a length where `loader` has one."""
    return CountedBatches(loader) if isinstance(loader, Sized) else Batches(loader)


def as_batch(found: Any) -> Batch:
    """What a loader yielded as a Batch: one, or float32 images (B, 3, H, W) alone."""
    if hasattr(found, "image"):
        return found
    images = found
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        got = f"a tensor {tuple(images.shape)}" if isinstance(images, Tensor) else type(images)
        raise InputError(
            "a loader yields float32 images (B, 3, H, W), normalised by ad_models.MEAN and STD, or "
            f"ad_models.Batch(images); got {got if isinstance(got, str) else got.__name__}"
        )
    if images.dtype != torch.float32:
        raise InputError(f"a loader yields float32 images, got {images.dtype}; divide by 255")
    return Batch(images)
