"""RIAD: parts of the image are removed and inpainted from their surroundings.

Zavrtanik et al., Pattern Recognition 2021, https://doi.org/10.1016/j.patcog.2020.107706

Idea (section 3): the image is divided into cells of k pixels, and the cells are assigned at random
to n sets. A network gets the image without one set and inpaints it; n passes inpaint all cells, so
no pixel is its own input. Trained on normal images, it paints normal content, and the gradients of
the two images differ at a defect. Cells of several sizes find defects of several sizes.

Differs from the paper: the sets of cells for prediction are drawn once and saved with the model, so
that a score is not random; images have values in 0..1 in the loss and a sigmoid at the end; removed
cells are mid-grey. A step takes the batch of the loader: with `preset: paper` 4 images, as in
re-implementations. `flips` and `sigma` are offered; they are not the paper's.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.borders import check_padding
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError, InputError
from ad_models.maps import smooth
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.similarity import multiscale_gms, ssim
from ad_models.unet import UNet

SCALES = 4  # of the gradients: whole, half, quarter, eighth; section 3


@dataclass(frozen=True)
class RiadConfig:
    cells: tuple[int, ...] = (2, 4, 8, 16)  # k, sides of the cells in pixels; section 4
    sets: int = 3  # n, into which the cells fall; section 4
    gms: float = 1.0  # weight of the gradient loss; section 3
    ssim: float = 1.0  # weight of the structure loss; section 3
    window: int = 21  # side of the mean filter over the map, pixels; section 3
    sigma: float = 0.0  # of a Gaussian in its place, pixels, 7 for example; 0: the filter
    flips: bool = False  # half of the training images to the side, half of them upside down
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)  # of the U-Net; re-implementations
    epochs: int = 300  # section 4; a tenth of `lr` for the last sixth
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 1e-4  # of Adam; section 4
    padding: str = "zeros"  # or "replicate", ours: the edge is repeated, not framed in black
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        check_padding(self.padding)
        if not self.cells or min(self.cells) < 1:
            raise ConfigError(f"cells must be positive sides in pixels, got {self.cells}")
        if self.sets < 2:
            raise ConfigError(f"sets must be at least 2, got {self.sets}")
        if self.sigma < 0:
            raise ConfigError(f"sigma must not be negative, got {self.sigma}")
        if self.window % 2 == 0:
            raise ConfigError(f"window must be odd, got {self.window}")


class Riad(Detector):
    Config = RiadConfig

    def __init__(self, config: RiadConfig) -> None:
        super().__init__(config)
        self.net = UNet(config.widths, padding=config.padding)
        self.kept: Tensor
        self.register_buffer("kept", torch.empty(0, dtype=torch.uint8))  # (K, H, W), set of a pixel

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        c = self.config
        optimiser = torch.optim.Adam(self.net.parameters(), c.lr)
        drop = torch.optim.lr_scheduler.MultiStepLR(optimiser, [c.epochs * 5 // 6], gamma=0.1)
        for _ in run.epochs(c.epochs, self, optimiser, drop):
            for batch in run.steps(epoch(loader, c.batches)):
                images = unit(flipped(batch.image) if c.flips else batch.image)
                size = images.shape[-2:]
                if self.kept.shape[-2:] != size:
                    kept = torch.stack([assign(size, cell, c.sets) for cell in c.cells])
                    self.kept = kept.to(torch.uint8).to(images.device)
                cell = c.cells[int(torch.randint(len(c.cells), (1,)))]  # one size a step
                owner = assign(size, cell, c.sets).to(images.device)
                loss = self.loss(images, run.mixed(self.repaint, images, owner))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)
            drop.step()

    def repaint(self, images: Tensor, owner: Tensor) -> Tensor:
        """Images (B, 3, H, W), 0 to 1, with each set of `owner` (H, W) inpainted from the
        others."""
        painted = torch.zeros_like(images)
        for number in range(self.config.sets):
            taken = (owner == number).to(images)
            seen = (2 * images - 1) * (1 - taken)  # 0 is mid-grey
            painted = painted + self.net(seen).sigmoid() * taken
        return painted

    def loss(self, images: Tensor, painted: Tensor) -> Tensor:
        """Pixels, gradients and structure together."""
        pixels = (images - painted).square().mean()
        scales = multiscale_gms(images, painted, SCALES)
        edges = torch.stack([(1 - scale).mean() for scale in scales]).mean()
        structure = (1 - ssim(images, painted)).mean()
        return pixels + self.config.gms * edges + self.config.ssim * structure

    def difference(self, images: Tensor, painted: Tensor) -> Tensor:
        """How gradients differ, (B, 1, H, W), 0 to 1, over all scales."""
        size = images.shape[-2:]
        maps = [
            F.interpolate(1 - scale, size=size, mode="bilinear", align_corners=False)
            for scale in multiscale_gms(images, painted, SCALES)
        ]
        return torch.stack(maps).mean(dim=0)

    def reconstruct(self, images: Tensor) -> Tensor:
        """The mean over all sizes of cells."""
        painted = [self.repaint(unit(images), owner) for owner in self.kept]
        return normalised(torch.stack(painted).mean(dim=0))

    def smoothed(self, maps: Tensor) -> Tensor:
        """Maps (B, 1, H, W) under the mean filter, or under the Gaussian."""
        if self.config.sigma:
            return smooth(maps, self.config.sigma)
        reach = self.config.window // 2
        maps = F.pad(maps, (reach, reach, reach, reach), mode="replicate")
        return F.avg_pool2d(maps, self.config.window, stride=1)

    def forward(self, images: Tensor) -> Prediction:
        if images.shape[-2:] != self.kept.shape[-2:]:
            wrong, right = tuple(images.shape[-2:]), tuple(self.kept.shape[-2:])
            raise InputError(f"this model was fitted on images of {right}, got {wrong}")
        images = unit(images)
        maps = [self.difference(images, self.repaint(images, owner)) for owner in self.kept]
        mean = torch.stack(maps).mean(dim=0)  # over the sizes of cells
        smoothed = self.smoothed(mean)
        return Prediction(score=smoothed.amax(dim=(1, 2, 3)), map=smoothed)


def flipped(images: Tensor) -> Tensor:
    """Images (B, 3, H, W), each to the side or not, and upside down or not, by two coins."""
    for dim in (-1, -2):
        turned = (torch.rand(len(images), 1, 1, 1) < 0.5).to(images.device)
        images = torch.where(turned, images.flip(dim), images)
    return images


def assign(size: tuple[int, int] | torch.Size, cell: int, sets: int) -> Tensor:
    """Which of the sets each pixel (H, W) belongs to: whole cells, equally many in each set."""
    rows, columns = (-(-length // cell) for length in size)
    owner = torch.randperm(rows * columns) % sets
    whole = owner.view(rows, columns).repeat_interleave(cell, 0).repeat_interleave(cell, 1)
    return whole[: size[0], : size[1]]
