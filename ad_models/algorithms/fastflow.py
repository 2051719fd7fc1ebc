"""FastFlow: the likelihood of pretrained features under a 2D normalising flow.

Yu et al., 2021, https://arxiv.org/abs/2111.07677

Idea (section 3): a flow of small convolutions maps the features of normal images to a standard
normal distribution, at each position and with its surroundings. Where the mapped feature is far
from 0, the image differs from the normal images.

Differs from the paper: every feature map is normalised to mean 0 and variance 1 first, like all
public versions, without learnt scales: these are not part of the likelihood, and the loss could
fall just by shrinking the features. The map is 1 minus the mean in the paper. ResNets only;
transformers are left out. A step takes the batch of the loader: with `preset: paper` 32 images, as
there.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.features import Pyramid
from ad_models.flows import chain, energy, surprise
from ad_models.run import Run


@dataclass(frozen=True)
class FastflowConfig:
    backbone: str = "wide_resnet50_2"  # section 4.2
    layers: tuple[str, ...] = ("layer1", "layer2", "layer3")  # section 4.2
    steps: int = 8  # of the flow of each layer; section 4.2
    kernels: tuple[int, ...] = (3, 1)  # sides of the convolutions, in turn; (3,) suits ResNet-18
    hidden: float = 1.0  # channels between a step's two convolutions, over those that enter
    clamp: float = 2.0  # bound of a coupling's log scale; ours: the paper gives none
    epochs: int = 500  # section 4.2
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 1e-3  # of Adam; section 4.2
    weight_decay: float = 1e-5  # section 4.2
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if self.steps < 1:
            raise ConfigError(f"steps must be at least 1, got {self.steps}")
        if not self.kernels or any(side % 2 == 0 for side in self.kernels):
            raise ConfigError(f"kernels must be odd, got {self.kernels}")
        if self.hidden <= 0:
            raise ConfigError(f"hidden must be positive, got {self.hidden}")
        if self.clamp <= 0:
            raise ConfigError(f"clamp must be positive, got {self.clamp}")


def subnet(channels: int, out: int, side: int, hidden: float) -> nn.Sequential:
    """Scale and shift of a coupling from its other half; equation 5."""
    between = max(1, round(hidden * channels))
    return nn.Sequential(
        nn.Conv2d(channels, between, side, padding="same"),
        nn.ReLU(),
        nn.Conv2d(between, out, side, padding="same"),
    )


class Fastflow(Detector):
    Config = FastflowConfig
    reads_features = "pyramid"

    def __init__(self, config: FastflowConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        sides = [config.kernels[step % len(config.kernels)] for step in range(config.steps)]
        subnets = [partial(subnet, side=side, hidden=config.hidden) for side in sides]
        self.flows = nn.ModuleList(
            chain(channels, subnets, config.clamp) for channels in self.pyramid.channels
        )

    def transform(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """z (B, C, h, w) and log-determinants (B,) of every layer, shallow first."""
        features = [F.layer_norm(f, f.shape[1:]) for f in self.pyramid(images)]
        return [flow(f) for flow, f in zip(self.flows, features, strict=True)]

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        optimiser = torch.optim.Adam(
            self.flows.parameters(), self.config.lr, weight_decay=self.config.weight_decay
        )
        for _ in run.epochs(self.config.epochs, self.flows, optimiser):
            for batch in run.steps(epoch(loader, self.config.batches)):
                mapped = run.mixed(self.transform, batch.image)
                costs = [energy(z) - determinant for z, determinant in mapped]  # equation 2
                loss = torch.stack(costs).sum(dim=0).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)

    def forward(self, images: Tensor) -> Prediction:
        unlikely = [
            F.interpolate(
                1 - torch.exp(-surprise(z)),
                size=images.shape[-2:],
                mode="bilinear",
                align_corners=False,
            )
            for z, _ in self.transform(images)
        ]
        maps = torch.stack(unlikely).mean(dim=0)  # section 3.3
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)
