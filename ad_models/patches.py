"""Patch features of a frozen backbone: pooled over a neighbourhood, and kept between epochs."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, blocks
from ad_models.budget import SMALLER, announced, disk, free, require_memory, size
from ad_models.errors import InputError
from ad_models.features import stack
from ad_models.rows import InMemory, OnDisk, Rows
from ad_models.run import Run

FEATURES = "the features of all images"


def check_positions(found: int, learned: int, images: Tensor) -> None:
    """InputError where images (B, 3, H, W) have another number of positions than the fit's had."""
    if found != learned:
        raise InputError(
            f"this model was fitted on images of another size: it knows {learned} positions, and "
            f"images of {tuple(images.shape[-2:])} have {found}; give images of the fit's size"
        )


class PatchEmbedding(nn.Module):
    """The surroundings of each position, with the same number of values of every layer (PatchCore,
    section 3.1 and official code).

    The official code flattens the side x side window of all channels, one after another, averages
    it in `each` * layers runs, then these in runs of as many as there are layers. Runs of less than
    a number share it with the next one. Both steps together are one convolution with fixed weights:
    of WideResNet-50-2 with `each` 512, a window of layer2 with twice the weight at the centre, and
    the mean window of each two channels of layer3.

    channels: of each layer. side: of the window, positions. each: values of each layer. stored:
    whether a model file holds the weights.
    """

    def __init__(self, channels: Sequence[int], side: int, each: int, stored: bool = True) -> None:
        super().__init__()
        layers = len(channels)
        self.dims, self.padding = each * layers, side // 2
        self.groups = [math.gcd(count, each) for count in channels]  # the pattern repeats
        for layer, (count, groups) in enumerate(zip(channels, self.groups, strict=True)):
            one = torch.eye(count // groups * side**2)[None]
            runs = F.adaptive_avg_pool1d(one, each * layers // groups)
            runs = F.adaptive_avg_pool1d(runs, each // groups)[0].mT
            weight = runs.unflatten(1, (-1, side, side)).repeat(groups, 1, 1, 1)
            self.register_buffer(f"runs{layer}", weight, persistent=stored)

    def forward(self, pyramid: list[Tensor]) -> tuple[Tensor, torch.Size]:
        """Patches (B, P, dims) and the grid (h, w) of the first layer that they form, P = h * w."""
        pooled = [
            F.conv2d(features, weight, padding=self.padding, groups=groups)
            for features, weight, groups in zip(pyramid, self.buffers(), self.groups, strict=True)
        ]
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
