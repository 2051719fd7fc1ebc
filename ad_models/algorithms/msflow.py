"""MSFlow: the likelihood of a feature pyramid under flows that exchange data between scales.

Zhou et al., TNNLS 2024, https://arxiv.org/abs/2308.15300

Idea (section 3): every scale has its own flow, which knows the position and is longer for deeper
features. Then a fusion flow lets all scales shift and scale each other. Both large and small
defects have a low likelihood in the result.

Differs from the paper: warm-up and drops of the learning rate are shares of `epochs`, equal to the
published ones for 100 epochs. The weights are those of the last epoch; the published figures are of
the best epoch on the test images. The paper takes its heat map as a sum over scales for AUROC and
as a product for AUPRO; here the map is the sum, the score of the product. The score is minus the
logarithm of the mean likelihood of the worst pixels, where the paper takes one minus this mean: the
order is the same, but no two images tie at 1. Published figures are of images of 512 pixels and
batches of 8, those of `preset: paper`; of transistors they are of 256 pixels.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.convnext import LayerNorm2d

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.features import Pyramid
from ad_models.flows import chain, energy, surprise
from ad_models.run import Run

LIMIT = 1e6  # of what the fusion flow puts out; official settings


@dataclass(frozen=True)
class MsflowConfig:
    backbone: str = "wide_resnet50_2"  # section 4.1
    layers: tuple[str, ...] = ("layer1", "layer2", "layer3")  # section 4.1
    blocks: tuple[int, ...] = (2, 5, 8)  # of the flow of each layer; section 4.1
    position: int = 64  # channels of the position code, a multiple of 4; official settings
    clamp: float = 1.9  # bound of the log scales; official settings
    epochs: int = 100  # official settings
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 1e-4  # of Adam; official settings
    clip: float = 2.0  # largest norm of a gradient; official settings
    top: float = 0.03  # share of the pixels whose mean is the score; section 3.4
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if len(self.blocks) != len(self.layers) or min(self.blocks) < 1:
            raise ConfigError(f"blocks must give a count for each layer, got {self.blocks}")
        if self.position < 4 or self.position % 4:
            raise ConfigError(f"position must be a multiple of 4, got {self.position}")
        if not 0 < self.top <= 1:
            raise ConfigError(f"top must be above 0 and at most 1, got {self.top}")


def position_code(channels: int, height: int, width: int) -> Tensor:
    """Sines and cosines (1, channels, height, width): half the channels for x, half for y."""
    quarter = channels // 4
    rates = 10000 ** (-torch.arange(quarter) / quarter)
    codes = []
    for size, shape in ((width, (1, 1, width)), (height, (1, height, 1))):
        angles = torch.arange(size) * rates[:, None]
        code = torch.cat([angles.sin(), angles.cos()]).view(2 * quarter, *shape[1:])
        codes.append(code.expand(-1, height, width))
    return torch.cat(codes)[None]


def subnet(channels: int, out: int) -> nn.Sequential:
    """Scale and shift of a coupling from its other half and the position."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        LayerNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, out, 3, padding=1),
    )


class Exchange(nn.Module):
    """Log scales and shifts for one half of every scale's channels from the other halves."""

    def __init__(self, widths: list[int], clamp: float) -> None:
        super().__init__()
        self.widths, self.clamp = widths, clamp
        total = sum(widths)
        self.mix = nn.Sequential(
            nn.Conv2d(total, total // 4, 3, padding=1),
            LayerNorm2d(total // 4),
            nn.ReLU(),
            nn.Conv2d(total // 4, total, 3, padding=1),
            nn.ReLU(),
        )
        self.scales = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in widths)
        self.shifts = nn.ModuleList(nn.Conv2d(w, w, 3, padding=1) for w in widths)

    def forward(self, halves: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        height, width = halves[-1].shape[-2:]
        pooled = torch.cat([F.adaptive_avg_pool2d(half, (height, width)) for half in halves], dim=1)
        found = []
        for half, mixed, scale, shift in zip(
            halves, self.mix(pooled).split(self.widths, 1), self.scales, self.shifts, strict=True
        ):
            x = half + _resized(mixed, half.shape[-2:])
            # 0.636 is 2 / pi: the log scale stays within the clamp
            found.append((self.clamp * 0.636 * torch.atan(scale(x) / self.clamp), shift(x)))
        return found


class Fusion(nn.Module):
    """A flow over all scales at once: permute, then let each half of the channels move the other.

    `fusion(maps)` gives z [(B, C, h, w)] and log-determinants (B,); `rev` undoes it.
    """

    def __init__(self, channels: list[int], clamp: float) -> None:
        super().__init__()
        halves = [count // 2 for count in channels]
        self.first, self.second = Exchange(halves, clamp), Exchange(halves, clamp)
        for scale, count in enumerate(channels):
            self.register_buffer(f"order{scale}", torch.randperm(count))

    def forward(self, maps: Sequence[Tensor], rev: bool = False) -> tuple[list[Tensor], Tensor]:
        orders = [self.get_buffer(f"order{scale}") for scale in range(len(maps))]
        if not rev:
            maps = [x[:, order] for x, order in zip(maps, orders, strict=True)]
        a, b = zip(*(x.chunk(2, dim=1) for x in maps), strict=True)
        if rev:
            b, gone = _moved(b, self.second(a), rev)
            a, lost = _moved(a, self.first(b), rev)
        else:
            a, gone = _moved(a, self.first(b), rev)
            b, lost = _moved(b, self.second(a), rev)
        joined = [torch.cat(pair, dim=1).clamp(-LIMIT, LIMIT) for pair in zip(a, b, strict=True)]
        if rev:
            joined = [x[:, order.argsort()] for x, order in zip(joined, orders, strict=True)]
        return joined, gone + lost


def _moved(
    halves: Sequence[Tensor], by: list[tuple[Tensor, Tensor]], rev: bool
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Halves after an affine coupling or its inverse, and its log-determinants (B,)."""
    total = torch.stack([scale.sum(dim=(1, 2, 3)) for scale, _ in by]).sum(dim=0)
    pairs = list(zip(halves, by, strict=True))
    if rev:
        return tuple((x - shift) * torch.exp(-scale) for x, (scale, shift) in pairs), -total
    return tuple(x * torch.exp(scale) + shift for x, (scale, shift) in pairs), total


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=True)


def rate(share: float) -> float:
    """Learning rate as a multiple of `lr` at this share of the fit: warm-up, then two drops."""
    return min(1.0, 0.1 + 0.9 * share / 0.12) * 0.33 ** ((share >= 0.7) + (share >= 0.9))


class Msflow(Detector):
    Config = MsflowConfig
    reads_features = "pyramid"

    def __init__(self, config: MsflowConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        for layer in self.pyramid.modules():
            if isinstance(layer, nn.Conv2d) and layer.kernel_size[0] > 1:
                layer.padding_mode = "reflect"  # official settings: zeros would mark the border
        channels = self.pyramid.channels
        self.flows = nn.ModuleList(
            chain(count, [subnet] * blocks, config.clamp, config.position)
            for count, blocks in zip(channels, config.blocks, strict=True)
        )
        self.fusion = Fusion(channels, config.clamp)

    def transform(self, images: Tensor) -> tuple[list[Tensor], Tensor]:
        """z [(B, C, h, w)] of every layer, shallow first, and log-determinants (B,) of all."""
        mapped, determinants = [], []
        for flow, features in zip(self.flows, self.pyramid(images), strict=True):
            x = F.avg_pool2d(features, 3, stride=2, padding=1)
            code = position_code(self.config.position, *x.shape[-2:]).to(x)
            z, determinant = flow(x, [code.expand(x.shape[0], -1, -1, -1)])
            mapped.append(z)
            determinants.append(determinant)
        fused, determinant = self.fusion(mapped)
        return fused, torch.stack([*determinants, determinant]).sum(dim=0)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        parameters = [*self.flows.parameters(), *self.fusion.parameters()]
        optimiser = torch.optim.Adam(parameters, self.config.lr)
        for done in run.epochs(self.config.epochs, self.flows, self.fusion, optimiser):
            for group in optimiser.param_groups:
                group["lr"] = self.config.lr * rate(done / self.config.epochs)
            for batch in run.steps(epoch(loader, self.config.batches)):
                z, determinant = run.mixed(self.transform, batch.image)
                energies = torch.stack([energy(part) for part in z])
                loss = (energies.sum(dim=0) - determinant).mean()
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, self.config.clip)
                optimiser.step()
                run.log(loss=loss)

    def forward(self, images: Tensor) -> Prediction:
        size = images.shape[-2:]
        likely = [-surprise(z) for z in self.transform(images)[0]]
        summed = torch.stack([_resized((x - _largest(x)).exp(), size) for x in likely]).sum(dim=0)
        product = torch.stack([_resized(x, size) for x in likely]).sum(dim=0)  # of logarithms
        count = max(1, int(self.config.top * size[0] * size[1]))
        worst = (product - _largest(product)).flatten(1).topk(count, dim=1, largest=False).values
        score = math.log(count) - worst.logsumexp(dim=1)
        return Prediction(score=score, map=_largest(summed) - summed)


def _largest(maps: Tensor) -> Tensor:
    """Largest value (B, 1, 1, 1) of each map."""
    return maps.amax(dim=(1, 2, 3), keepdim=True)
