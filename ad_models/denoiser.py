"""The U-Net of denoising diffusion: from a noisy image and the step it predicts the noise.

Ho et al., NeurIPS 2020, https://arxiv.org/abs/2006.11239, appendix B; the blocks that change the
size are those of Dhariwal and Nichol 2021, https://arxiv.org/abs/2105.05233.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, cat, nn


def group_norm(channels: int) -> nn.GroupNorm:
    """Up to 32 groups of at least 4 channels each."""
    return nn.GroupNorm(math.gcd(32, max(1, channels // 4)), channels)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Initialise with zeros: a block starts as its shortcut, the network predicts no noise."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def waves(steps: Tensor, dims: int) -> Tensor:
    """Steps (B,) as sines and cosines (B, dims) of wavelengths from 2 pi to 20,000 pi."""
    rates = torch.exp(-math.log(10_000) * torch.arange(dims // 2, device=steps.device) / dims * 2)
    angles = steps[:, None] * rates
    return cat([angles.cos(), angles.sin()], dim=1)


class Residual(nn.Module):
    """Two convolutions beside a shortcut, with the step as input; `scale` 2 doubles sides, 0.5
    halves them."""

    def __init__(self, channels: int, out: int, step_channels: int, scale: float = 1) -> None:
        super().__init__()
        self.scale = scale
        self.before = nn.Sequential(group_norm(channels), nn.SiLU())
        self.first = nn.Conv2d(channels, out, 3, padding=1)
        self.step = nn.Linear(step_channels, out)
        second = zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.second = nn.Sequential(group_norm(out), nn.SiLU(), second)
        self.shortcut = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        y = self.first(self.resized(self.before(x))) + self.step(step)[:, :, None, None]
        return self.shortcut(self.resized(x)) + self.second(y)

    def resized(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        return F.avg_pool2d(x, 2) if self.scale < 1 else F.interpolate(x, scale_factor=2.0)


class Attention(nn.Module):
    """Self-attention over all positions."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels)
        self.ask = nn.Conv2d(channels, 3 * channels, 1)
        self.last = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        parts = self.ask(self.norm(x)).flatten(2).chunk(3, dim=1)
        query, key, value = (part.unflatten(1, (self.heads, -1)).mT for part in parts)
        seen = F.scaled_dot_product_attention(query, key, value)  # (B, heads, P, C / heads)
        return x + self.last(seen.mT.flatten(1, 2).unflatten(2, x.shape[-2:]))


class Level(nn.ModuleList):
    """A sequence of parts, each with the step as input."""

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        for part in self:
            x = part(x, step)
        return x


class Denoiser(nn.Module):
    """Noisy images (B, 3, size, size) at steps (B,) to their noise (B, 3, size, size).

    widths: channels of each level, outermost first; blocks: residual blocks of a level on the
    way down (one more on the way up); attention: sides in pixels of the levels that have it.
    """

    def __init__(
        self, size: int, widths: Sequence[int], blocks: int, attention: Sequence[int], heads: int
    ) -> None:
        super().__init__()
        step_channels = 4 * widths[0]
        self.waves = widths[0]
        self.tell = nn.Sequential(
            nn.Linear(widths[0], step_channels), nn.SiLU(), nn.Linear(step_channels, step_channels)
        )
        self.first = nn.Conv2d(3, widths[0], 3, padding=1)
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()

        def level(channels: int, out: int, depth: int) -> Level:
            looks = [Attention(out, heads)] if size >> depth in attention else []
            return Level([Residual(channels, out, step_channels), *looks])

        x, passed = widths[0], [widths[0]]
        for depth, out in enumerate(widths):
            for _ in range(blocks):
                self.downs.append(level(x, out, depth))
                x = out
                passed.append(x)
            if depth + 1 < len(widths):
                self.downs.append(Level([Residual(x, x, step_channels, 0.5)]))
                passed.append(x)
        sides = [Residual(x, x, step_channels) for _ in range(2)]
        self.middle = Level([sides[0], Attention(x, heads), sides[1]])
        for depth, out in reversed(list(enumerate(widths))):
            for block in range(blocks + 1):
                up = level(x + passed.pop(), out, depth)
                x = out
                if depth and block == blocks:
                    up.append(Residual(x, x, step_channels, 2))
                self.ups.append(up)
        self.last = nn.Sequential(group_norm(x), nn.SiLU(), zeroed(nn.Conv2d(x, 3, 3, padding=1)))
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU

    def forward(self, x: Tensor, steps: Tensor) -> Tensor:
        step = F.silu(self.tell(waves(steps, self.waves)))
        x = self.first(x)
        passed = [x]
        for down in self.downs:
            x = down(x, step)
            passed.append(x)
        x = self.middle(x, step)
        for up in self.ups:
            x = up(cat([x, passed.pop()], dim=1), step)
        return self.last(x)
