"""Variational autoencoder: an autoencoder whose code is a distribution close to the normal one.

Kingma and Welling, ICLR 2014, https://arxiv.org/abs/1312.6114; for inspection: Bergmann et al.
2018, https://arxiv.org/abs/1807.02011

Idea: the encoder gives a Gaussian for each image, the decoder reconstructs the image from a sample
of it, and the Gaussians are kept close to the standard normal. So codes of normal images fill the
space without gaps: every code decodes to a normal image, without the defect. The map is the squared
residual of the reconstruction from the mean code.

Differs from the papers: the decoder's variance is one number, optimal in every step (Rybkin et al.
2021, https://arxiv.org/abs/2006.13202), so that residual and divergence need no manual weight; the
network is the autoencoder's, with a code of twice the width; the blur of the map and the image
score are ours. Batches of `preset: paper` are the autoencoder's. One decoded mean replaces
Bergmann's six draws, which would make the map random.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.borders import check_padding
from ad_models.convnets import decoder, encoder
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.gaussian_code import divergence, sample, split, surprise
from ad_models.maps import smooth
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.search import Weight
from ad_models.views import assemble, check_views, draw


@dataclass(frozen=True)
class VaeConfig:
    side: int = 256  # of what the network sees, pixels; 128 for patches of textures
    stride: int | None = None  # none: whole images, resized; 30 for textures
    code: int = 500  # dimensions of the code; 100 for simple textures; Bergmann et al.
    width: int = 32  # channels of the outer layers; Bergmann et al., table 1
    beta: Weight = 1.0  # weight of the divergence; 1 is the bound of Kingma and Welling
    epochs: int = 200  # Bergmann et al.
    batches: int = 625  # of an epoch: 10,000 views, 16 each; Bergmann et al.
    lr: float = 2e-4  # of Adam; Bergmann et al.
    weight_decay: float = 1e-5  # Bergmann et al.
    sigma: float = 4.0  # blur of the final map, pixels; ours
    padding: str = "zeros"  # or "replicate", ours: the edge is repeated, not framed in black
    seed: int = 0

    def __post_init__(self) -> None:
        check_views(self.side, self.stride)
        check_epoch(self.batches)
        check_padding(self.padding)
        if self.code < 1:
            raise ConfigError(f"code must be at least 1, got {self.code}")
        if self.beta < 0:
            raise ConfigError(f"beta must not be negative, got {self.beta}")


class Vae(Detector):
    Config = VaeConfig

    def __init__(self, config: VaeConfig) -> None:
        super().__init__(config)
        self.encoder = encoder(config.side, 2 * config.code, config.width, config.padding)
        self.decoder = decoder(config.side, config.code, config.width, config.padding)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        c = self.config
        halves = (self.encoder, self.decoder)
        parameters = [p for half in halves for p in half.parameters()]
        optimiser = torch.optim.Adam(parameters, c.lr, weight_decay=c.weight_decay)
        for _ in run.epochs(c.epochs, *halves, optimiser):
            for batch in run.steps(epoch(loader, c.batches)):
                views = draw(unit(batch.image), c.side, c.stride)
                mean, log_variance = split(run.mixed(self.encoder, views))
                rebuilt = run.mixed(self.decoder, sample(mean, log_variance))
                fidelity = surprise(views, rebuilt)
                kl = divergence(mean, log_variance).mean()
                loss = fidelity + c.beta * kl
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss, fidelity=fidelity, kl=kl)

    def rebuilt(self, views: Tensor) -> Tensor:
        """The reconstruction of views (B, 3, side, side) from the mean code."""
        mean, _ = split(self.encoder(views))
        return self.decoder(mean)

    def residual(self, views: Tensor) -> Tensor:
        """Squared difference (B, 1, side, side) of views from their copies."""
        return (views - self.rebuilt(views)).square().mean(dim=1, keepdim=True)

    def reconstruct(self, images: Tensor) -> Tensor:
        return normalised(
            assemble(self.rebuilt, unit(images), self.config.side, self.config.stride)
        )

    def forward(self, images: Tensor) -> Prediction:
        maps = assemble(self.residual, unit(images), self.config.side, self.config.stride)
        maps = smooth(maps, self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)
