"""Patch features of a frozen backbone: averaged over a neighbourhood, and kept between epochs."""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, blocks
from ad_models.budget import SMALLER, announced, disk, free, require_memory, size
from ad_models.errors import InputError
from ad_models.features import stack
from ad_models.rows import InMemory, OnDisk, Rows
from ad_models.run import Run

FEATURES = "the features of all images"


def locally_aware(pyramid: list[Tensor], side: int) -> tuple[Tensor, torch.Size]:
    """Patch embeddings (B, P, D) and the grid (h, w) they form, P = h * w.

    Each position becomes the mean of the side x side positions around it, then coarser maps are
    resized to the first one's grid (PatchCore, section 3.1).
    """
    pooled = [F.avg_pool2d(f, side, stride=1, padding=side // 2) for f in pyramid]
    features = stack(pooled, mode="bilinear")
    return features.flatten(2).mT, features.shape[-2:]


def embedded(
    embed: Callable[[Tensor], tuple[Tensor, torch.Size]], images: Tensor
) -> tuple[Tensor, torch.Size]:
    """Patch embeddings (B, P, D) of any number of images, and the grid (h, w) they form."""
    parts = [embed(part) for part in blocks(images)]
    return torch.cat([patches for patches, _ in parts]), parts[0][1]


class Kept:
    """Embeddings of all images, for heads that are trained for many epochs on a frozen backbone.

    Iterating gives batches (batch, P, D) in a new order each time, from torch's generator. Takes
    images * P * D * 2 bytes: half precision rounds by a thousandth, far less than patches differ.
    They are stored on disk if that is more than half of the free memory.
    """

    def __init__(
        self, embed: Callable[[Tensor], Tensor], loader: Iterable[Batch], run: Run, batch: int
    ) -> None:
        self.batch, self.count = batch, 0
        self.rows: Rows
        with torch.no_grad():
            for images in run.steps(loader):
                for part in blocks(images.image):
                    found = embed(part).half()
                    if not self.count:
                        self.shape = found.shape[1:]
                        self.rows = place(announced(loader, images.image), found[0], run)
                    self.rows.put(self.count, found.flatten(1))
                    self.count += len(found)
        if not self.count:
            raise InputError("no normal image to learn from")

    def __len__(self) -> int:
        return len(range(0, self.count, self.batch))

    def __iter__(self) -> Iterator[Tensor]:
        for chosen in torch.randperm(self.count).split(self.batch):
            yield self.rows.take(chosen).unflatten(1, self.shape).float()


def place(count: int, one: Tensor, run: Run) -> Rows:
    """Storage for `count` rows of features like `one`; an error if there is not enough."""
    taken, spare = count * one.nbytes, disk(run.folder)
    if spare and free(run.device) // 2 < taken <= spare[1]:
        run.say(f"{FEATURES}: {size(taken)}, which wait in {spare[0]}")
        return OnDisk(spare[0], one.numel(), one.device, one.dtype)
    require_memory(run, FEATURES, taken, f"make room on the disk for them, or {SMALLER}")
    return InMemory(one.new_empty(count, one.numel()))


def everything(
    embed: Callable[[Tensor], Tensor],
    loader: Iterable[Batch],
    run: Run,
    beside: float,
    what: str = FEATURES,
) -> Tensor:
    """Embeddings (N, ...) of all images, `what`, in one tensor. It is allocated once: joining parts
    would need twice the memory. `beside`: other memory of the fit, as a multiple of it."""
    kept, count = InMemory(torch.empty(0)), 0
    for batch in run.steps(loader):
        for images in blocks(batch.image):
            found = embed(images)
            if not count:
                total = announced(loader, batch.image)
                require_memory(run, what, int((1 + beside) * found[0].nbytes * total))
                kept = InMemory(found.new_empty(total, *found.shape[1:]))
            kept.put(count, found)
            count += len(found)
    return kept.rows[:count]
