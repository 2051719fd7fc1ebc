"""DiffusionAD: one denoising step makes the image normal; a second network marks the changes.

Zhang et al. 2023, https://arxiv.org/abs/2303.08730

Idea (section 3): noise hides a defect, and a diffusion model trained on normal images puts normal
content in its place. One step from a little noise keeps detail, but the defect as well; one from
much noise removes both. The norm-guided estimate starts at the first and moves towards the second.
A segmentation network gets the image and this estimate. It learns from synthetic defects which
differences matter; its mask is the map.

Differs from the paper: defects are anywhere; in the paper a saliency network keeps them on the
object. Their textures are procedural unless `textures` names a folder. The segmentation network
gets values of -1..1 and halves with strided convolutions. Both learning rates fall to 0 once along
a cosine, so that the running means of batch norm fit the final weights; in the official code the
second rate oscillates every 20 steps. The noise of a prediction is drawn once and saved with the
model. The model is that of the last epoch, not of the best epoch on test images.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.denoiser import Denoiser
from ad_models.diffusion import denoised, guided, noised, schedule
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.synthetic import Textures, altered, shuffled, spoil, uniform
from ad_models.unet import UNet
from ad_models.views import resized

CELL = 8  # pixels, side of the finest of a mask's cells: 32 along 256, as in the official code


@dataclass(frozen=True)
class DiffusionadConfig:
    size: int = 256  # pixels, side of what the networks see; section 4
    widths: tuple[int, ...] = (128, 128, 256, 256, 512, 512)  # of the denoiser; official code
    blocks: int = 2  # residual blocks of a level; official code
    attention: tuple[int, ...] = (32, 16, 8)  # sides of the levels that have it; official code
    heads: int = 4  # official code
    marker: tuple[int, ...] = (64, 128, 256, 512, 512, 512)  # of the second network; official code
    boundary: int = 300  # steps below it are little noise, from it on much; official code
    little: int = 200  # steps of noise in a prediction, of 1000; official code
    much: int = 400
    guidance: float = 1.0  # w, how far the second estimate draws the first; official code
    spoiled: float = 0.5  # share of the training images that get a defect; official code
    own: float = 0.5  # share of defects made of the image itself; 0 for textures; official code
    textures: str | None = None  # folder of images for the others; None: procedural
    focal: float = 5.0  # weight of the focal loss; official code
    gamma: float = 4.0  # of the focal loss; official code
    epochs: int = 3000  # section 4
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 1e-4  # of the denoiser's Adam; official code
    marker_lr: float = 1e-5  # of the second network's; official code
    top: int = 50  # pixels of the map whose mean is the score; official code
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        multiple = 2 ** (max(len(self.widths), len(self.marker)) - 1)
        if self.size < 16 or self.size % multiple:
            raise ConfigError(
                f"size must be at least 16 and a multiple of {multiple}, got {self.size}"
            )
        if len(self.marker) < 2:
            raise ConfigError(f"marker must be two or more widths, got {self.marker}")
        if not self.widths or any(w < 2 or w % (2 * self.heads) for w in self.widths):
            raise ConfigError(
                f"widths must be multiples of {2 * self.heads} (2 x heads), got {self.widths}"
            )
        if not 0 < self.boundary < 1000:
            raise ConfigError(f"boundary must be 1 to 999, got {self.boundary}")
        if not 0 <= self.little < self.much < 1000:
            raise ConfigError(
                f"little must lie below much, both in 0..999, got {self.little} and {self.much}"
            )
        if not 1 <= self.top <= self.size**2:
            raise ConfigError(f"top must be 1 to {self.size**2} pixels, got {self.top}")


class Diffusionad(Detector):
    Config = DiffusionadConfig

    def __init__(self, config: DiffusionadConfig) -> None:
        super().__init__(config)
        c = config
        self.denoiser = Denoiser(c.size, c.widths, c.blocks, c.attention, c.heads)
        self.marker = UNet(c.marker, inputs=6, outputs=1)
        self.kept: Tensor
        self.noise: Tensor
        self.register_buffer("kept", schedule())  # (1000,)
        self.register_buffer("noise", torch.randn(2, 3, c.size, c.size))  # of predictions

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        c, textures = self.config, Textures(self.config.textures)
        optimiser = torch.optim.Adam(
            [
                {"params": self.denoiser.parameters(), "lr": c.lr},
                {"params": self.marker.parameters(), "lr": c.marker_lr},
            ]
        )
        fall = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, c.epochs)
        for _ in run.epochs(c.epochs, self, optimiser, fall):
            for batch in run.steps(epoch(loader, c.batches)):
                images, masks = self.spoil(batch.image, textures)
                noise = torch.randn(2, *images.shape).to(images.device)
                rebuilt, found = self.rebuild(images, noise, self.draw(len(images)))
                normal = masks.amax((1, 2, 3)) == 0
                error = (found - noise).square().mean((2, 3, 4)).sum(0)  # of both steps
                denoising = (error * normal).sum() / normal.sum().clamp_min(1)
                marking = self.marking(run.mixed(self.mark, images, rebuilt), masks)
                optimiser.zero_grad()
                (denoising + marking).backward()
                optimiser.step()
                run.log(denoising=denoising, marking=marking)
            fall.step()

    def spoil(self, images: Tensor, textures: Textures) -> tuple[Tensor, Tensor]:
        """Small images (B, 3, size, size) in 0..1, some with a defect, and masks of these."""
        images = resized(images, (self.config.size, self.config.size))
        count, device = len(images), images.device
        own = uniform(0, 1, (count, 1, 1, 1), device) < self.config.own
        others = textures(count, images.shape[-2:], device)
        sources = altered(torch.where(own, shuffled(unit(images)), others))
        finest = max(1, math.floor(math.log2(self.config.size / CELL)))
        spoiled, masks = spoil(images, sources, self.config.spoiled, (0.2, 0.8), finest)
        return unit(spoiled), masks

    def draw(self, count: int) -> Tensor:
        """Steps (2, count) of little and of much noise."""
        boundary = self.config.boundary
        little = torch.randint(boundary, (count,))
        much = torch.randint(boundary, len(self.kept), (count,))
        return torch.stack([little, much]).to(self.kept.device)

    def rebuild(self, images: Tensor, noise: Tensor, steps: Tensor) -> tuple[Tensor, Tensor]:
        """The normal version of images (B, 3, size, size); and the noise (2, B, 3, size, size) that
        the network predicts at both steps (2, B)."""
        kept = self.kept[steps][:, :, None, None, None]
        noisy = noised(images, noise, kept)
        found = self.denoiser(noisy.flatten(0, 1), steps.flatten())
        found = found.unflatten(0, (2, images.shape[0]))
        coarse = denoised(noisy[1], found[1], kept[1]).clamp(-1, 1)
        fine = guided(noisy[0], found[0], kept[0], coarse, self.config.guidance)
        return fine.clamp(-1, 1), found

    def mark(self, images: Tensor, rebuilt: Tensor) -> Tensor:
        """Logits (B, 1, size, size): how likely each pixel is defective."""
        return self.marker(2 * torch.cat([images, rebuilt], dim=1) - 1)

    def marking(self, logits: Tensor, masks: Tensor) -> Tensor:
        """Focal loss and smooth L1 of the marked pixels; section 3."""
        wrong = torch.where(masks > 0, -logits, logits)  # log odds against the truth
        focal = (wrong.sigmoid() ** self.config.gamma * F.softplus(wrong)).mean() / 2  # alpha 0.5
        return self.config.focal * focal + F.smooth_l1_loss(logits.sigmoid(), masks)

    def views(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The input images of the networks and their normal versions, 0 to 1."""
        c = self.config
        small = unit(resized(images, (c.size, c.size)))
        count = small.shape[0]  # len() would fix it in an exported graph
        noise = self.noise.unsqueeze(1).expand(-1, count, -1, -1, -1)
        steps = torch.tensor([[c.little], [c.much]], device=small.device).expand(-1, count)
        return small, self.rebuild(small, noise, steps)[0]

    def reconstruct(self, images: Tensor) -> Tensor:
        return normalised(resized(self.views(images)[1], images.shape[-2:]))

    def forward(self, images: Tensor) -> Prediction:
        maps = self.mark(*self.views(images)).sigmoid()
        score = maps.flatten(1).topk(self.config.top, dim=1).values.mean(dim=1)
        return Prediction(score=score, map=resized(maps, images.shape[-2:]))
