"""What a loader yields."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ad_models.errors import InputError

FAR = 20.0  # beyond it no normalised image reaches, however it was changed


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
    """What a loader yielded as a Batch: one, or float32 images (B, 3, H, W), alone or alone in a
    list, as a `TensorDataset` has them."""
    if isinstance(found, Batch):
        return found
    images = getattr(found, "image", found)
    if isinstance(images, list | tuple) and len(images) == 1:
        (images,) = images
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        raise InputError(
            "a loader yields float32 images (B, 3, H, W), normalised by ad_models.MEAN and STD, or "
            f"ad_models.Batch(images); got {described(images)}{remedy(images)}"
        )
    if images.dtype != torch.float32:
        raise InputError(f"a loader yields float32 images, got {images.dtype}; divide by 255")
    largest = float(images.abs().max()) if images.numel() else 0.0
    if not largest < FAR:  # nor NaN
        raise InputError(
            f"a loader yields images normalised by ad_models.MEAN and STD, within 3 of 0; got "
            f"{largest:g}: divide 0..255 by 255 first"
        )
    return Batch(images)


def described(found: Any) -> str:
    """What was given in place of images, for an error."""
    return f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__


def remedy(found: Any) -> str:
    """How images are taken out of what a loader often yields instead; empty if unknown."""
    if isinstance(found, list | tuple) and found and isinstance(found[0], Tensor):
        return f" of {len(found)}; take the images alone: [images for images, *_ in loader]"
    if isinstance(found, Mapping) and "image" in found:
        return "; take the images alone: [one['image'] for one in loader]"
    if isinstance(found, Tensor) and found.ndim == 3:
        return "; one tensor (N, 3, H, W) becomes a loader by images.split(16)"
    return ""
