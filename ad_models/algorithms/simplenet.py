"""SimpleNet: separate normal features from the same features with added noise.

Liu et al., CVPR 2023, https://arxiv.org/abs/2303.15140

Idea (section 3): a linear layer adapts pretrained patch features to the product. Gaussian noise
turns each adapted feature into an anomaly, and a small discriminator learns to separate the two. At
test time it scores the adapted features.

Differs from the paper: the last epoch is kept, where the official code keeps the epoch that is best
on test images; image scores change from one epoch to the next until the end. `averaged` stabilises
them (Izmailov et al., UAI 2018), but maps may get worse. Neighbourhoods are pooled as in the
official code, which sees more than the mean of every channel that the text describes. Images of
`preset: paper` are brought to 288 pixels, where the official code makes them 329 and cuts 288 out
of the middle. Features are computed once and kept in half precision. With `patches` a step sees
some of the patches of its images, where the paper's sees all.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.features import Pyramid
from ad_models.maps import finish
from ad_models.patches import Kept, PatchEmbedding
from ad_models.run import Run
from ad_models.search import Noise


@dataclass(frozen=True)
class SimplenetConfig:
    backbone: str = "wide_resnet50_2"  # section 4.3
    layers: tuple[str, ...] = ("layer2", "layer3")  # section 4.3
    neighbourhood: int = 3  # side of the patch that is pooled, positions; section 4.3
    noise: Noise = 0.015  # standard deviation of the noise in adapted features; section 4.3
    hidden: int = 1024  # width of the discriminator; official code
    margin: float = 0.5  # th+ and -th- of the loss; section 3.5
    epochs: int = 160  # section 4.3
    batches: int = 0  # of an epoch; 0: one pass over the images
    batch: int = 4  # images a step; section 4.3 (8 in the official code)
    patches: int = 0  # of a step, drawn from those of its images; 0: all of them, section 3.5
    adaptor_lr: float = 1e-4  # of AdamW; section 4.3, where it is Adam
    discriminator_lr: float = 2e-4  # of Adam; section 4.3
    weight_decay: float = 1e-5  # of the discriminator; section 4.3
    averaged: float = 0.0  # share of the steps, at the end, whose weights are averaged
    sigma: float = 4.0  # blur of the final map, pixels; section 4.3
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        if self.neighbourhood % 2 == 0:
            raise ConfigError(f"neighbourhood must be odd, got {self.neighbourhood}")
        for name in ("noise", "margin"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.averaged <= 1:
            raise ConfigError(f"averaged must lie in 0 to 1, got {self.averaged}")
        check_epoch(self.batches)
        if self.patches < 0:
            raise ConfigError(f"patches must be at least 1, or 0 for all, got {self.patches}")
        for name in ("hidden", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


class Simplenet(Detector):
    Config = SimplenetConfig
    reads_once = True
    reads_features = "pyramid"

    def __init__(self, config: SimplenetConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        channels = self.pyramid.channels
        each = sum(channels) // len(channels)  # 1536 of WideResNet-50-2; official code
        # models of version 0.1 hold no weights of it
        self.patches = PatchEmbedding(channels, config.neighbourhood, each, stored=False)
        dims = self.patches.dims
        self.adaptor = nn.Linear(dims, dims)  # section 3.2; no nonlinearity
        self.discriminator = nn.Sequential(
            nn.Linear(dims, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(config.hidden, 1, bias=False),
        )
        for module in (self.adaptor, *self.discriminator):
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight)  # official code

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Patch features (B, P, D) and the grid (h, w) they form; section 3.1."""
        return self.patches(self.pyramid(images))

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        c = self.config
        kept = Kept(lambda images: self.embed(images)[0], loader, run, c.batch)
        networks = nn.ModuleList([self.adaptor, self.discriminator])
        averaged = AveragedModel(networks, avg_fn=late(c.averaged), use_buffers=True)
        optimisers = (
            torch.optim.AdamW(self.adaptor.parameters(), c.adaptor_lr),
            torch.optim.Adam(
                self.discriminator.parameters(), c.discriminator_lr, weight_decay=c.weight_decay
            ),
        )
        for _ in run.epochs(c.epochs, networks, averaged, *optimisers):
            for features in run.steps(epoch(kept, c.batches)):
                seen = drawn(features.flatten(0, 1), c.patches)  # (N, D), N patches
                normal = run.mixed(self.adaptor, seen)
                spoiled = normal + c.noise * torch.randn_like(normal)  # section 3.3
                # Together, so that batch norm cannot separate the two kinds
                verdicts = run.mixed(self.discriminator, torch.cat([normal, spoiled])).squeeze(1)
                above, below = verdicts.chunk(2)
                loss = truncated_l1(above, below, c.margin)
                for optimiser in optimisers:
                    optimiser.zero_grad()
                loss.backward()
                for optimiser in optimisers:
                    optimiser.step()
                averaged.update_parameters(networks)
                run.log(loss=loss)
        networks.load_state_dict(averaged.module.state_dict())

    def forward(self, images: Tensor) -> Prediction:
        patches, grid = self.embed(images)
        verdicts = self.discriminator(self.adaptor(patches.flatten(0, 1)))
        distance = -verdicts.reshape(-1, 1, *grid)  # section 3.6
        maps = finish(distance, images.shape[-2:], self.config.sigma)
        return Prediction(score=distance.amax(dim=(1, 2, 3)), map=maps)  # section 3.6


def drawn(patches: Tensor, count: int) -> Tensor:
    """`count` of the patches (N, D), each at most once; 0, or fewer of them: all."""
    if not 0 < count < len(patches):
        return patches
    return patches[torch.randperm(len(patches), device=patches.device)[:count]]


def truncated_l1(normal: Tensor, spoiled: Tensor, margin: float) -> Tensor:
    """Loss of outputs (N,) that should be above `margin` and below -`margin`; section 3.5."""
    return (margin - normal).clamp(min=0).mean() + (margin + spoiled).clamp(min=0).mean()


def late(share: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """Running average over about the last `share` of all steps, for any number of steps."""

    def add(average: Tensor, value: Tensor, before: Tensor | int) -> Tensor:
        # A tensor: reading the number would make the GPU wait for every weight at every step
        weight = 1 / (share * (torch.as_tensor(before) + 1)).clamp(min=1)
        return average.float().lerp(value.float(), weight)  # counters are no floats

    return add
