"""Denoising autoencoder: a network that removes coarse noise also removes defects.

Kascenas et al., MIDL 2022, https://openreview.net/forum?id=Bm8-t_ggzPD

Idea: blotches of noise, about as large as defects, are added to normal images, and a U-Net learns
to give the clean image back. Its changes to a clean test image are the anomaly map. With fine noise
it would only learn a blur, which keeps defects; a plain autoencoder with shortcuts would copy them.

Differs from the paper: three colour channels; the paper has four channels of a brain scan, a mask
of the head and a median over slices; the U-Net has batch norm and the widths of ours; the blur of
the final map and the image score follow the other algorithms here. Adam is plain, and its cosine
runs once; the official code has amsgrad, a weight decay of 1e-5, gradients clipped at 0.5, and a
cosine of 100 epochs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.borders import check_padding
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.maps import smooth
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.unet import UNet


@dataclass(frozen=True)
class DenoisingAutoencoderConfig:
    noise: float = 0.2  # standard deviation, where images are 0 to 1; the paper's best
    grid: int = 16  # positions along a side on which noise is drawn; as many as pixels: fine noise
    # of the U-Net; ours: one level more than there, as images are twice the size and the deepest
    # has to see many blotches, or it takes uneven light for noise
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    epochs: int = 200  # ours: the paper counts 67,200 steps of 16 images
    batches: int = 336  # steps of an epoch, for any number of images
    lr: float = 1e-4  # of Adam, falling to 0 by a cosine
    sigma: float = 4.0  # blur of the final map, pixels; ours
    padding: str = "zeros"  # or "replicate", ours: the edge is repeated, not framed in black
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        check_padding(self.padding)
        if self.noise <= 0:
            raise ConfigError(f"noise must be positive, got {self.noise}")
        if self.grid < 2:
            raise ConfigError(f"grid must be at least 2, got {self.grid}")
        if self.epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {self.epochs}")


class DenoisingAutoencoder(Detector):
    Config = DenoisingAutoencoderConfig

    def __init__(self, config: DenoisingAutoencoderConfig) -> None:
        super().__init__(config)
        self.net = UNet(config.widths, padding=config.padding)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        optimiser = torch.optim.Adam(self.net.parameters(), self.config.lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.config.epochs)
        for _ in run.epochs(self.config.epochs, self.net, optimiser, schedule):
            for batch in run.steps(epoch(loader, self.config.batches)):
                clean = unit(batch.image)
                noisy = clean + coarse_noise(clean, self.config.grid, self.config.noise)
                loss = (run.mixed(self.clean, noisy) - clean).square().mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)
            schedule.step()

    def clean(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), 0 to 1, after denoising."""
        return self.net(images)

    def reconstruct(self, images: Tensor) -> Tensor:
        return normalised(self.clean(unit(images)))

    def forward(self, images: Tensor) -> Prediction:
        images = unit(images)
        change = (images - self.clean(images)).abs().mean(dim=1, keepdim=True)
        maps = smooth(change, self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)


def coarse_noise(images: Tensor, grid: int, deviation: float) -> Tensor:
    """Noise (B, C, H, W) drawn on grid x grid positions, upsampled and shifted at random.

    `deviation` is that of the draws; between them, interpolation leaves less.
    """
    count, channels, height, width = images.shape
    drawn = deviation * torch.randn(count, channels, grid, grid)
    noise = F.interpolate(drawn, size=(height, width), mode="bilinear", align_corners=True)
    shift = torch.randint(height, (1,)).item(), torch.randint(width, (1,)).item()
    return noise.roll((int(shift[0]), int(shift[1])), dims=(2, 3)).to(images.device)
