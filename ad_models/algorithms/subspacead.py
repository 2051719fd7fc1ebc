"""SubspaceAD: what of a token lies outside the subspace of the tokens of a few normal images.

Lendering et al., CVPR 2026, https://github.com/CLendering/SubspaceAD

Idea: normal tokens of a self-supervised ViT vary in few directions. A principal component analysis
of the tokens of one to a few normal images, which are also turned, finds them. The score of a token
is the square of what remains of it without them: no memory, no search, no training.

Differs from the official code: images are turned by even angles, not by drawn ones. With
`turned_below` images or more they are not turned.

Published image AUROC with 1, 2 and 4 images (DINOv2-G, 672 pixels): MVTec AD .971, .975, .980; VisA
.932, .938, .947. The blocks for a backbone of 12 blocks are ours: the official ones do not exist
there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Places, Prediction, blocks
from ad_models.errors import ConfigError, InputError
from ad_models.maps import highest, window
from ad_models.run import Run
from ad_models.search import Variance
from ad_models.tokens import Size, Tokens, Turned

Moments = tuple[Tensor, Tensor, Tensor]  # count (), sum (D,) and sum of outer products (D, D)


@dataclass(frozen=True)
class SubspaceadConfig:
    backbone: str = "vit_giant_patch14_reg4_dinov2.lvd142m"  # official code
    blocks: tuple[int, ...] = tuple(range(22, 29))  # whose outputs are averaged; official code
    size: Size = 672  # pixels that the ViT sees, of a side or (height, width); official code
    turns: int = 31  # of each image, by even angles; official code: 30 drawn ones, and none
    turned_below: int = 17  # images; from so many on they are not turned; ours
    variance: Variance = 0.99  # share of it that the subspace holds; official code
    top: float = 0.01  # share of the map whose mean is the score of an image; official code
    weights: str = "pretrained"  # of the backbone; see ad_models.vit_weights
    seed: int = 0

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ConfigError(f"turns must be at least 1, got {self.turns}")
        for name in ("variance", "top"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"{name} must lie in 0 to 1, got {getattr(self, name)}")


class Subspacead(Detector):
    Config = SubspaceadConfig
    one_pass = reads_once = True
    exact_without = True
    reads_features = "turned"

    def __init__(self, config: SubspaceadConfig) -> None:
        super().__init__(config)
        self.turned = Turned(Tokens(config.backbone, (config.blocks,), config.size, config.weights))
        self.announce(1)
        self.register_buffer("mean", torch.empty(0))  # (D,)
        self.register_buffer("basis", torch.empty(0))  # (D, r), orthonormal columns
        dims = self.turned.tokens.channels
        self.count: Tensor
        self.total: Tensor
        self.outer: Tensor
        self.mean: Tensor
        self.basis: Tensor
        self.register_buffer("count", torch.tensor(0.0, dtype=torch.float64))
        self.register_buffer("total", torch.zeros(dims, dtype=torch.float64))
        self.register_buffer("outer", torch.zeros(dims, dims, dtype=torch.float64))

    def announce(self, images: int) -> None:
        few = images < self.config.turned_below
        self.turned.turns.fill_(self.config.turns if few else 1)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        self.turned.tokens.tell(run)
        for sums in (self.count, self.total, self.outer):
            sums.zero_()
        self.learn_more(loader, run)

    @torch.no_grad()
    def learn_more(self, loader: Iterable[Batch], run: Run) -> None:
        """What a fit on all images, old and new, would learn."""
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                new = moments(self.turned(images))
                for sums, more in zip((self.count, self.total, self.outer), new, strict=True):
                    sums.add_(more)
        if self.count < 2:
            raise InputError("SubspaceAD needs at least 1 normal image of at least 2 tokens")
        self.mean, self.basis = subspace((self.count, self.total, self.outer), self.config.variance)
        self.record = self.turned.tokens.record | {"directions": self.basis.shape[1]}

    def forward(self, images: Tensor) -> Prediction:
        return self.compare(self.turned.tokens(images)[0], self.mean, self.basis, images.shape[-2:])

    def compare(self, maps: Tensor, mean: Tensor, basis: Tensor, size: torch.Size) -> Prediction:
        """Score tokens (B, D, h, w) by what is outside the subspace, for images of a size."""
        away = maps.movedim(1, -1) - mean
        outside = (away - away @ basis @ basis.mT).square().sum(-1)
        seen = F.interpolate(outside[:, None], size=self.turned.tokens.size, mode="bilinear")
        kernel = window(3, 4.0).to(seen)  # official code
        seen = F.conv2d(F.pad(seen, [1] * 4, mode="reflect"), kernel[None, None])
        full = F.interpolate(seen, size=tuple(size), mode="bilinear")
        return Prediction(score=highest(seen.flatten(1), self.config.top), map=full)

    def left_out(
        self, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Prediction] | None:
        return self.by_others(loader, run)

    @torch.no_grad()
    def by_others(self, loader: Iterable[Batch], run: Run) -> Iterator[Prediction]:
        """Predictions of the images of each batch by the subspace of all others."""
        for batch in run.steps(loader):
            parts = [self.turned(images) for images in blocks(batch.image)]
            own = [sum(sums) for sums in zip(*map(moments, parts), strict=True)]
            others = self.count - own[0], self.total - own[1], self.outer - own[2]
            mean, basis = subspace(others, self.config.variance)
            size = batch.image.shape[-2:]
            found = [self.compare(part[0], mean, basis, size) for part in parts]
            yield Prediction(*(torch.cat(one) for one in zip(*found, strict=True)))


def moments(maps: list[Tensor]) -> Moments:
    """Of all tokens of maps (B, D, h, w); in float64, so that some can be taken out again."""
    count, total, outer = torch.zeros(3, dtype=torch.float64, device=maps[0].device).unbind()
    for one in maps:  # one after the other: in float64 they are large
        tokens = one.movedim(1, -1).flatten(0, -2).double()
        count, total, outer = count + len(tokens), total + tokens.sum(0), outer + tokens.mT @ tokens
    return count, total, outer


def subspace(known: Moments, variance: float) -> tuple[Tensor, Tensor]:
    """Mean (D,) and the fewest orthonormal directions (D, r) that hold this share of the variance,
    float32."""
    count, total, outer = known
    mean = total / count
    values, vectors = torch.linalg.eigh((outer - count * torch.outer(mean, mean)) / (count - 1))
    held = values.flip(0).clamp(min=0).cumsum(0)
    needed = int((held < variance * held[-1]).sum()) + 1
    return mean.float(), vectors.flip(1)[:, :needed].float().contiguous()
