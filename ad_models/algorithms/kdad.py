"""KDAD: a small network copies a deep network at several depths, on normal images only.

Salehi et al., CVPR 2021, https://arxiv.org/abs/2011.11108

Idea (section 3): the source network is pretrained and frozen; a much smaller cloner learns its
outputs at a few critical layers, in value and in direction, from normal images only. On anomalies
the two networks differ. The gradient of this difference with respect to the pixels gives the
location.

Differs from the paper: maps are not scaled to 0..1 per image, which would give every good part a
spot as bright as a defect, and there is no opening after a threshold. `localisation: features` is
ours: it distributes the same score over its positions, needs no gradient and so can be exported.
The default is the plain gradient of the text. With the shortcuts of a residual network `guided`
located defects worse. `smooth` averages the maps of noisy copies as they are; the official code
scales each of them to 0..1 first. Cloners of other backbones follow the shape of the VGG-16 cloner.
The paper's images have 128 pixels, its batches 64 images, and so has `preset: paper`.
"""

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid
from ad_models.maps import smooth
from ad_models.pixels import unit
from ad_models.run import Run

LOCALISATIONS = ("gradient", "smooth", "guided", "features")


@dataclass(frozen=True)
class KdadConfig:
    backbone: str = "vgg16"  # section 4.1; one whose layers end in a ReLU
    layers: tuple[str, ...] = (  # the critical layers: pools 2 to 5; the first is not scored
        "features.9",
        "features.16",
        "features.23",
        "features.30",
    )
    value: float = 0.5  # lambda, weight of the squared distance; official code for MVTec AD
    epochs: int = 601  # official code for MVTec AD
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 0.001  # of Adam; official code
    narrow: int = 16  # channels of the cloner between critical layers; official code
    localisation: str = "gradient"  # section 3.3; or smooth, guided, features (ours)
    copies: int = 50  # noisy copies that `smooth` averages over; official code
    noise: float = 0.05  # over the image's range, squared: deviation of these; official code
    clip: float = 0.99  # share of the gradients below the largest shown; official code
    sigma: float = 4.0  # blur of the map, pixels; official code
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if self.localisation not in LOCALISATIONS:
            raise ConfigError(
                f"localisation must be one of {', '.join(LOCALISATIONS)}, got '{self.localisation}'"
            )
        if len(self.layers) < 2:
            raise ConfigError(f"layers must name at least two, got {list(self.layers)}")
        if not 0 < self.clip <= 1:
            raise ConfigError(f"clip must be above 0 and at most 1, got {self.clip}")


class Cloner(nn.Module):
    """Maps of the source's channels and strides, from few 3 x 3 convolutions (section 3.1).

    Each halving is a stage: convolutions with batch norm, one without, a pool. Of VGG-16 its
    cloner keeps the stages' depths: two convolutions in the first two, then three.
    """

    def __init__(self, channels: list[int], strides: list[int], narrow: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList()  # one per critical layer
        before, stride = 3, 1
        for out, wanted in zip(channels, strides, strict=True):
            layers: list[nn.Module] = []
            while not layers or stride < wanted:
                pooled = stride < wanted
                stride *= 1 + pooled
                last = out if stride == wanted else narrow
                depth = 2 if stride <= 4 else 3
                widths = [before, *[narrow] * (depth - 1), last]
                for i, (a, b) in enumerate(pairwise(widths), start=1):
                    layers.append(nn.Conv2d(a, b, 3, padding=1, bias=False))
                    layers += [nn.BatchNorm2d(b), nn.ReLU()] if i < depth else [nn.ReLU()]
                layers += [nn.MaxPool2d(2)] * pooled
                before = last
            self.parts.append(nn.Sequential(*layers))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for part in self.parts:
            x = part(x)
            found.append(x)
        return found


class Kdad(Detector):
    Config = KdadConfig

    def __init__(self, config: KdadConfig) -> None:
        super().__init__(config)
        self.teacher = Pyramid(config.backbone, config.layers, config.weights)
        probe = 256  # pixels: strides of it come out whole
        with torch.no_grad():
            strides = [probe // f.shape[-1] for f in self.teacher(torch.zeros(1, 3, probe, probe))]
        self.stride = strides[-1]
        self.cloner = Cloner(self.teacher.channels, strides, config.narrow)
        for layer in self.teacher.modules():
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # a backward hook cannot stand where values are overwritten
        if config.localisation != "features":
            self.no_export = (
                f"its {config.localisation} map is a gradient taken at prediction; "
                "localisation: features has none"
            )

    def compare(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Source's and cloner's maps (B, C, h, w) of each critical layer, of colours in 0..1."""
        pairs = list(zip(self.teacher(images), self.cloner(images), strict=True))
        if any(s.shape != c.shape for s, c in pairs):
            raise InputError(
                f"{self.config.backbone} rounds the sides {tuple(images.shape[-2:])} up; "
                f"give multiples of {self.stride}"
            )
        return pairs

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        optimiser = torch.optim.Adam(self.cloner.parameters(), self.config.lr)
        for _ in run.epochs(self.config.epochs, self.cloner, optimiser):
            for batch in run.steps(epoch(loader, self.config.batches)):
                pairs = run.mixed(self.compare, unit(batch.image))
                loss = torch.stack([self.parting(*pair).sum((1, 2)).mean() for pair in pairs]).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)

    def parting(self, source: Tensor, cloner: Tensor) -> Tensor:
        """The share of each position (B, h, w) in the difference of two maps (B, C, h, w).

        The sum is equation 4: lambda times the mean squared difference, plus one minus the cosine
        of the maps as single vectors, which is half the squared distance of their directions.
        """
        a, b = (F.normalize(f.flatten(1), dim=1, eps=1e-8).view_as(f) for f in (source, cloner))
        direction = 0.5 * (a - b).square().sum(1)
        value = (source - cloner).square().sum(1) / source[0].numel()
        return direction + self.config.value * value

    def score(self, images: Tensor) -> Tensor:
        """Difference (B,) at all critical layers except the first: official code."""
        return torch.stack(
            [self.parting(*pair).sum((1, 2)) for pair in self.compare(images)[1:]]
        ).sum(0)

    def forward(self, images: Tensor) -> Prediction:
        colours = unit(images)
        if self.config.localisation == "features":
            maps = torch.zeros_like(images[:, :1])
            score = torch.zeros_like(images[:, 0, 0, 0])
            for pair in self.compare(colours)[1:]:
                parts = self.parting(*pair)
                score = score + parts.sum((1, 2))
                share = parts.unsqueeze(1) * parts[0].numel()  # the mean, not the sum, is kept
                maps = maps + F.interpolate(
                    share, size=images.shape[-2:], mode="bilinear", align_corners=False
                )
        else:
            score, maps = self.saliency(colours)
        return Prediction(score, smooth(maps, self.config.sigma))

    def saliency(self, colours: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (B,) and the size (B, 1, H, W) of their gradients by pixel (section 3.3)."""
        copies, size = 1, torch.zeros_like(colours[:, 0])
        spread = torch.zeros_like(colours[:, :1, :1, :1])
        if self.config.localisation == "smooth":
            copies = self.config.copies
            span = (colours.amax((1, 2, 3)) - colours.amin((1, 2, 3))).clamp_min(1 / 255)
            spread = (self.config.noise / span).square().view(-1, 1, 1, 1)
        # the same noise for every image and every call: a prediction repeats
        generator = torch.Generator().manual_seed(self.config.seed)
        for _ in range(copies):
            noise = torch.randn(colours.shape[1:], generator=generator).to(colours.device)
            gradient = self.gradient(colours + spread * noise)
            size = size + gradient.abs().sum(1) / copies
        rank = math.ceil(self.config.clip * size[0].numel())
        limit = size.flatten(1).kthvalue(rank, dim=1).values.view(-1, 1, 1)
        return self.score(colours), torch.minimum(size, limit).unsqueeze(1)

    def gradient(self, colours: Tensor) -> Tensor:
        """Of each score with respect to its image (B, 3, H, W)."""
        # `predict` runs in inference mode, whose tensors can have no gradient: a clone can
        with torch.inference_mode(False), torch.enable_grad():
            leaf = colours.clone().requires_grad_()
            if self.config.localisation != "guided":
                return torch.autograd.grad(self.score(leaf).sum(), leaf)[0]
            with guided(self.cloner):  # the source's ReLUs stay as they are: official code
                return torch.autograd.grad(self.score(leaf).sum(), leaf)[0]


@contextmanager
def guided(net: nn.Module) -> Iterator[None]:
    """Let the ReLUs of `net` pass only positive gradients back (Springenberg et al. 2015)."""
    hooks = [
        layer.register_full_backward_hook(_positive)
        for layer in net.modules()
        if isinstance(layer, nn.ReLU)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _positive(layer: nn.Module, gradient: Any, after: Any) -> Any:
    return (gradient[0].clamp_min(0),)
