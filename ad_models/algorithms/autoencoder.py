"""Autoencoder: a narrow code cannot hold a defect, so the defect is not reconstructed and shows.

Bergmann et al., VISAPP 2019, https://arxiv.org/abs/1807.02011

Idea (section 3): a convolutional autoencoder learns to rebuild normal images through a code of a
few hundred numbers. The code cannot hold a defect, so the reconstructed image differs there. The
difference is computed per pixel (L2), or as structural similarity of windows around each pixel
(SSIM), which also finds defects of equal brightness. The same measure is the loss and the map.

Differs from the paper: each epoch draws new views (images or random patches); the paper draws
10,000 once. Colour channels are compared one by one and averaged; the constants of SSIM are the
usual squares of the 0.01 and 0.03 in its text. The final blur and the image score, which the paper
does not have, are ours; weights start as in He et al. 2015. A step takes the batch of the loader:
with `preset: paper` 128 views, as in the common re-implementation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.borders import check_padding
from ad_models.convnets import decoder, encoder
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.maps import smooth
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.similarity import ssim
from ad_models.views import assemble, check_views, draw


@dataclass(frozen=True)
class AutoencoderConfig:
    loss: str = "ssim"  # or "l2"; equations 8 and 2
    side: int = 256  # of what the network sees, pixels; 128 for patches of textures; section 4
    stride: int | None = None  # none: whole images, resized; 30 for textures; section 4
    code: int = 500  # numbers in the code; 100 for simple textures; section 4
    width: int = 32  # channels of the outer layers; table 1
    epochs: int = 200  # section 4
    batches: int = 625  # of an epoch: 10,000 views, 16 each; section 4
    lr: float = 2e-4  # of Adam; section 4
    weight_decay: float = 1e-5  # section 4
    sigma: float = 4.0  # blur of the final map, pixels; ours: a single pixel decides nothing
    padding: str = "zeros"  # or "replicate", ours: the edge is repeated, not framed in black
    seed: int = 0

    def __post_init__(self) -> None:
        check_views(self.side, self.stride)
        check_epoch(self.batches)
        check_padding(self.padding)
        if self.loss not in ("ssim", "l2"):
            raise ConfigError(f"loss must be ssim or l2, got '{self.loss}'")
        if self.code < 1:
            raise ConfigError(f"code must be at least 1, got {self.code}")


class Autoencoder(Detector):
    Config = AutoencoderConfig

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config)
        self.net = nn.Sequential(
            encoder(config.side, config.code, config.width, config.padding),
            decoder(config.side, config.code, config.width, config.padding),
        )

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        c = self.config
        optimiser = torch.optim.Adam(self.net.parameters(), c.lr, weight_decay=c.weight_decay)
        for _ in run.epochs(c.epochs, self.net, optimiser):
            for batch in run.steps(epoch(loader, c.batches)):
                views = draw(unit(batch.image), c.side, c.stride)
                loss = self.difference(views, run.mixed(self.net, views)).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)

    def residual(self, views: Tensor) -> Tensor:
        """Difference (B, 1, side, side) of views (B, 3, side, side) from their copies."""
        return self.difference(views, self.net(views))

    def difference(self, views: Tensor, rebuilt: Tensor) -> Tensor:
        """The difference between views and their reconstructions."""
        squared = self.config.loss == "l2"  # equation 2; else equation 8
        each = (views - rebuilt).square() if squared else 1 - ssim(views, rebuilt)
        return each.mean(dim=1, keepdim=True)

    def reconstruct(self, images: Tensor) -> Tensor:
        return normalised(assemble(self.net, unit(images), self.config.side, self.config.stride))

    def forward(self, images: Tensor) -> Prediction:
        maps = assemble(self.residual, unit(images), self.config.side, self.config.stride)
        maps = smooth(maps, self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)
