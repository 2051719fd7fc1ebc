"""Tokens of a frozen vision transformer (ViT), and of images that are turned.

timm has the networks; it is imported when the first one is built.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.errors import ConfigError
from ad_models.run import Run
from ad_models.seen import Seen
from ad_models.views import resized
from ad_models.vit_weights import load_vit

RESNET18 = 1.83  # billions of multiplications of a ResNet-18 up to layer3, at 256 pixels
FREE = "apache-2.0"  # of DINOv2: nothing to tell

Size = int | tuple[int, int]
Groups = Sequence[Sequence[int]]


class Tokens(nn.Module):
    """Map images (B, 3, H, W) to tokens of a ViT, one map (B, D, h, w) per group of blocks: the
    mean of the outputs of its blocks.

    backbone: a name of timm, such as `vit_small_patch14_dinov2.lvd142m`. groups: numbers of blocks,
    from 0, or a function that gives them for the number of blocks that there are; negative ones
    count from the last, -1. Blocks after the last one asked for do not run.
    size: pixels that the ViT sees, of a side or (height, width), made multiples of its patch;
    images of another size are resampled. It is fixed, because the position embedding is resampled
    for it once, here: inside an exported graph OpenVINO computes that wrongly. norm: whether the
    network's final LayerNorm is applied to each output. prefix: gives (B, D, N, 1), with the
    `prefixes` class and register tokens before those of the `grid`, row by row.

    `channels`: D. `heads`: of its attention. `size`: what is seen. `source`: of the weights, with
    their licence. Where features of images are given (`Seen`), they are the output.
    """

    def __init__(
        self,
        backbone: str,
        groups: Groups | Callable[[int], Groups],
        size: Size,
        weights: str = "pretrained",
        norm: bool = False,
        prefix: bool = False,
    ) -> None:
        super().__init__()
        self.net, self.source, self.licence = load_vit(backbone, weights)
        depth = len(self.net.blocks)
        groups = groups(depth) if callable(groups) else groups
        self.groups = [[block % depth for block in group] for group in groups]
        if wrong := [b for group in groups for b in group if not -depth <= b < depth]:
            raise ConfigError(f"{backbone} has blocks 0 to {depth - 1}, and no block {wrong[0]}")
        self.norm, self.prefix = norm, prefix
        high, wide = self.net.patch_embed.patch_size
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 1:
            raise ConfigError(f"size must be at least 1 pixel, got {height} x {width}")
        self.grid = torch.Size((max(1, round(height / high)), max(1, round(width / wide))))
        self.size = (self.grid[0] * high, self.grid[1] * wide)
        self.net.set_input_size(img_size=self.size)
        last = max(block for group in self.groups for block in group)
        self.net.prune_intermediate_layers([last], prune_norm=not norm, prune_head=True)
        self.prefixes: int = self.net.num_prefix_tokens
        self.channels: int = self.net.embed_dim
        self.heads: int = self.net.blocks[0].attn.num_heads
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> "Tokens":
        return super().train(False)  # frozen: dropped paths must never come back

    def identities(self) -> list[str]:
        """For each group a text that differs if its tokens would: a hash of the network, of its
        weights, and of what is taken of them."""
        import timm

        digest = hashlib.sha256(repr((timm.__version__, self.net, self.size)).encode())
        for value in self.net.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().data)
        about = digest.hexdigest(), self.norm, self.prefix
        return [hashlib.sha256(repr((*about, g)).encode()).hexdigest()[:32] for g in self.groups]

    def forward(self, images: Tensor | Seen) -> list[Tensor]:
        if isinstance(images, Seen):
            return list(images.maps)
        asked = sorted({block for group in self.groups for block in group})
        found: list[tuple[Tensor, Tensor]] = self.net.forward_intermediates(
            resized(images, self.size),
            indices=asked,
            return_prefix_tokens=True,
            norm=self.norm,
            output_fmt="NLC",
            intermediates_only=True,
        )
        outputs = dict(zip(asked, found, strict=True))
        return [self._map([outputs[block] for block in group]) for group in self.groups]

    def _map(self, outputs: list[tuple[Tensor, Tensor]]) -> Tensor:
        """The mean of outputs, each of patches (B, h * w, D) and prefix tokens (B, P, D)."""
        patches = mean([patches for patches, _ in outputs])
        if not self.prefix:
            return patches.mT.unflatten(2, self.grid)
        before = mean([before for _, before in outputs])
        return torch.cat([before, patches], dim=1).mT.unsqueeze(-1)

    def tell(self, run: Run) -> None:
        """Say once how images are seen, what one costs, and a licence that has to be read."""
        (height, width), (rows, columns) = self.size, self.grid
        work = f"{self.products / RESNET18:.1f} times the work of a ResNet-18 at 256 pixels"
        seen = f"{height} x {width} pixels of each image: {rows} x {columns} tokens"
        run.say(f"the ViT sees {seen}, about {work}")
        if self.licence != FREE and self.source != "random":
            run.say(f"these weights are under `{self.licence}`: read it before you ship the model")

    @property
    def products(self) -> float:
        """Multiplications that an image takes, in billions: of the blocks that run."""
        tokens, dims = self.prefixes + self.grid.numel(), self.channels
        return len(self.net.blocks) * (12 * tokens * dims**2 + 2 * tokens**2 * dims) / 1e9

    @property
    def record(self) -> dict[str, float]:
        """How images are seen, for the card of a model."""
        return {"seen_height": self.size[0], "seen_width": self.size[1]}


def mean(parts: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one shape; a stack of them would take their memory again."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts)


class Turned(nn.Module):
    """The tokens of images, and of the same images turned: `turns` maps, by even angles.

    Reads images through `tokens`, which has one group.
    """

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens
        self.turns: Tensor
        self.register_buffer("turns", torch.tensor(1))

    @property
    def degrees(self) -> list[float]:
        turns = int(self.turns)
        return [360 * turn / turns for turn in range(turns)]

    def identities(self) -> list[str]:
        """As those of `Tokens`, for each angle."""
        (plain,) = self.tokens.identities()
        return [f"{plain}-{angle:g}" if angle else plain for angle in self.degrees]

    def forward(self, images: Tensor | Seen) -> list[Tensor]:
        """Maps (B, D, h, w), not turned first."""
        if isinstance(images, Seen):
            return list(images.maps)
        return [self.tokens(turned(images, angle))[0] for angle in self.degrees]


def turned(images: Tensor, degrees: float) -> Tensor:
    """Images (B, C, H, W) turned about their middle, on the same canvas. What comes in from beyond
    the border is mirrored there (bilinear, the border itself not repeated)."""
    if not degrees:
        return images
    height, width = images.shape[-2:]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    ratio = (height - 1) / (width - 1)  # angles are of pixels, not of -1..1
    matrix = images.new_tensor([[cos, sin * ratio, 0], [-sin / ratio, cos, 0]])
    grid: Any = F.affine_grid(
        matrix.expand(len(images), 2, 3), list(images.shape), align_corners=True
    )
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=True)
