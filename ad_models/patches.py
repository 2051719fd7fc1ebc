"""Patch features of a frozen backbone: averaged over a neighbourhood, and kept between epochs."""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch
from ad_models.errors import InputError
from ad_models.features import stack
from ad_models.run import Run


def locally_aware(pyramid: list[Tensor], side: int) -> tuple[Tensor, torch.Size]:
    """Patch embeddings (B, P, D) and the grid (h, w) they form, P = h * w.

    Each position becomes the mean of the side x side positions around it, then coarser maps are
    resized to the first one's grid (PatchCore, section 3.1).
    """
    pooled = [F.avg_pool2d(f, side, stride=1, padding=side // 2) for f in pyramid]
    features = stack(pooled, mode="bilinear")
    return features.flatten(2).mT, features.shape[-2:]


class Kept:
    """Embeddings of all images, for heads that are trained for many epochs on a frozen backbone.

    Iterating gives batches (batch, P, D) in a new order each time, from torch's generator. Takes
    images * P * D * 2 bytes: half precision rounds by a thousandth, far less than patches differ.
    """

    def __init__(
        self, embed: Callable[[Tensor], Tensor], loader: Iterable[Batch], run: Run, batch: int
    ) -> None:
        with torch.no_grad():
            parts = [embed(images.image).half().contiguous() for images in run.steps(loader)]
        if not parts:
            raise InputError("no normal image to learn from")
        self.images = [image for part in parts for image in part]
        self.batch = batch

    def __len__(self) -> int:
        return len(range(0, len(self.images), self.batch))

    def __iter__(self) -> Iterator[Tensor]:
        for chosen in torch.randperm(len(self.images)).split(self.batch):
            yield torch.stack([self.images[index] for index in chosen]).float()
