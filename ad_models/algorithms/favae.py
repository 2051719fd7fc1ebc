"""FAVAE: a variational autoencoder that reconstructs perceptual features together with the image.

Dehaene and Eline 2020, https://arxiv.org/abs/2008.05369

Idea (section 3): pixels are a poor measure of visible defects. So the decoder of a variational
autoencoder must also predict, from its own maps of each scale, the features of the image in a
frozen network (VGG-16). The residuals of pixels and features together are the loss and the map.

Differs from the paper: there is no official code; the sizes are from a common re-implementation.
Each space (pixels, every layer) has one variance, which is optimal in every step. In the map each
space is divided by its mean residual on normal images, so that none dominates. VGG gets images
normalised as in its training. No augmentation, no early stop. A step takes the batch of the loader:
with `preset: paper` 64 images of 128 pixels, as there.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.features import Pyramid
from ad_models.gaussian_code import divergence, sample, split, surprise
from ad_models.maps import smooth
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.views import assemble, check_views, draw, resized


@dataclass(frozen=True)
class FavaeConfig:
    backbone: str = "vgg16"  # section 4
    layers: tuple[str, ...] = ("features.8", "features.15", "features.22")  # ReLU 2_2, 3_3, 4_3
    side: int = 128  # of what the network sees, pixels; re-implementation
    stride: int | None = None  # none: whole images, resized; else pixels between patches
    code: int = 100  # dimensions of the code; re-implementation
    width: int = 128  # channels of the outer layers; re-implementation
    epochs: int = 100  # re-implementation
    batches: int = 625  # of an epoch: 10,000 views, 16 each; re-implementation
    lr: float = 1e-3  # of Adam; ours: 5e-3 there
    weight_decay: float = 1e-5  # re-implementation
    sigma: float = 4.0  # blur of the final map, pixels; re-implementation
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_views(self.side, self.stride)
        check_epoch(self.batches)
        if not self.layers:
            raise ConfigError("layers must name at least one layer of the backbone")
        if self.code < 1:
            raise ConfigError(f"code must be at least 1, got {self.code}")
        if self.width < 4:
            raise ConfigError(f"width must be at least 4, got {self.width}")


def _encoder(side: int, code: int, width: int) -> nn.Sequential:
    """Images (B, 3, side, side) to (B, 2 code, 1, 1)."""
    outer = [(width, True)] * (int(math.log2(side)) - 5)
    middle = [(2, False), (2, True), (4, False), (4, True), (4, False)]
    plan = [*outer, *((times * width, half) for times, half in middle), (width // 4, False)]
    layers: list[nn.Module] = []
    channels = 3
    for out, half in plan:
        layers.append(_joined(nn.Conv2d(channels, out, 4 if half else 3, 2 if half else 1, 1)))
        channels = out
    return nn.Sequential(*layers, nn.Conv2d(channels, 2 * code, 8))


class Decoder(nn.Module):
    """Codes (B, code, 1, 1) to an image and the decoder's maps of 8, 16 ... side / 2 positions."""

    def __init__(self, side: int, code: int, width: int) -> None:
        super().__init__()
        doublings = int(math.log2(side)) - 3
        self.channels = ([4 * width, 4 * width, 2 * width] + [width] * doublings)[:doublings]
        start = nn.Sequential(
            _joined(nn.ConvTranspose2d(code, width // 4, 8)),
            _joined(nn.Conv2d(width // 4, 4 * width, 3, 1, 1)),
            _joined(nn.Conv2d(4 * width, 4 * width, 3, 1, 1)),
        )
        self.stages = nn.ModuleList([start])
        for channels, out in pairwise(self.channels):
            narrow = [_joined(nn.Conv2d(channels, out, 3, 1, 1))] if out != channels else []
            double = _joined(nn.ConvTranspose2d(out, out, 4, 2, 1))
            self.stages.append(nn.Sequential(*narrow, double))
        self.last = nn.ConvTranspose2d(self.channels[-1], 3, 4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return self.last(x).sigmoid(), maps


def _joined(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels), nn.LeakyReLU(0.2))


class Favae(Detector):
    Config = FavaeConfig

    def __init__(self, config: FavaeConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        self.encoder = _encoder(config.side, config.code, config.width)
        self.decoder = Decoder(config.side, config.code, config.width)
        sides = [8 * 2**i for i in range(len(self.decoder.channels))]
        with torch.no_grad():
            features = self.pyramid(torch.zeros(1, 3, config.side, config.side))
        self.matching = []  # the decoder's map that stands beside each layer
        self.adapters = nn.ModuleList()
        for layer, feature in zip(config.layers, features, strict=True):
            if feature.shape[-1] not in sides:
                raise ConfigError(
                    f"layers: {layer} of {config.backbone} has {feature.shape[-1]} positions a "
                    f"side for {config.side} pixels, the decoder has {sides}"
                )
            self.matching.append(sides.index(feature.shape[-1]))
            channels, out = self.decoder.channels[self.matching[-1]], feature.shape[1]
            self.adapters.append(
                nn.Sequential(nn.Conv2d(channels, out, 1), nn.ReLU(), nn.Conv2d(out, out, 1))
            )
        self.to(memory_format=torch.channels_last)  # a quarter faster on a CPU
        self.usual: Tensor
        self.register_buffer("usual", torch.ones(1 + len(features)))  # mean residual of each space

    def spaces(self, views: Tensor, code: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Pixels and features of views (B, 3, side, side), each with its prediction from the
        code."""
        image, maps = self.decoder(code)
        pairs = [(unit(views), image)]
        for feature, at, adapter in zip(
            self.pyramid(views), self.matching, self.adapters, strict=True
        ):
            pairs.append((feature, adapter(maps[at])))
        return pairs

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        c = self.config
        changing = (self.encoder, self.decoder, self.adapters)
        parameters = [p for part in changing for p in part.parameters()]
        optimiser = torch.optim.Adam(parameters, c.lr, weight_decay=c.weight_decay)
        for _ in run.epochs(c.epochs, *changing, optimiser):
            for batch in run.steps(epoch(loader, c.batches)):
                views = draw(batch.image, c.side, c.stride)
                mean, log_variance = split(run.mixed(self.encoder, views))
                pairs = run.mixed(self.spaces, views, sample(mean, log_variance))
                fidelity = torch.stack([surprise(x, rebuilt) for x, rebuilt in pairs]).sum()
                loss = fidelity + divergence(mean, log_variance).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)
        self.measure(loader, run)

    @torch.no_grad()
    def measure(self, loader: Iterable[Batch], run: Run) -> None:
        """Set `usual`, the mean residual of each space on normal images."""
        self.eval()
        for _ in run.epochs(1, self, stage="measure"):
            means = []
            for batch in run.steps(loader):
                errors = self.residuals(draw(batch.image, self.config.side, self.config.stride))
                means.append(torch.stack([error.mean() for error in errors]))
            self.usual = torch.stack(means).mean(dim=0).clamp(min=1e-8)

    def rebuilt(self, views: Tensor) -> Tensor:
        """The reconstruction of views (B, 3, side, side) from the mean code, 0 to 1."""
        mean, _ = split(self.encoder(views))
        return self.decoder(mean)[0]

    def residuals(self, views: Tensor) -> list[Tensor]:
        """Squared residual (B, 1, h, w) of each space at the mean code, a mean over channels."""
        mean, _ = split(self.encoder(views))
        pairs = self.spaces(views, mean)
        return [(x - rebuilt).square().mean(dim=1, keepdim=True) for x, rebuilt in pairs]

    def residual(self, views: Tensor) -> Tensor:
        """All residuals (B, 1, side, side), each relative to `usual`."""
        side = (self.config.side, self.config.side)
        each = zip(self.residuals(views), self.usual, strict=True)
        return torch.stack([resized(error, side) / usual for error, usual in each]).sum(dim=0)

    def reconstruct(self, images: Tensor) -> Tensor:
        return normalised(assemble(self.rebuilt, images, self.config.side, self.config.stride))

    def forward(self, images: Tensor) -> Prediction:
        maps = assemble(self.residual, images, self.config.side, self.config.stride)
        maps = smooth(maps, self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)
