"""AnoGAN: search the code from which a GAN of normal images draws this image.

Schlegl et al., IPMI 2017, https://arxiv.org/abs/1703.05921

Idea (section 2): a DCGAN learns to draw normal images. For a new image, gradient descent searches
the code whose drawing is nearest, in pixels and in the discriminator's features (equation 5).
Differences that remain are anomalous.

Differs from the paper: colour images, resized to `size`; the paper cuts grey patches of 64 pixels,
as `stride` does (of colour): then a defect is seen at its own size, every patch is searched for,
and the highest score of a patch is the image's. With `preset: paper` batches have 64 images, as
f-AnoGAN's; the paper does not say. Epochs are for a few hundred images instead of a million
patches. Every search starts at the same random code, so that a prediction repeats and does not
depend on its batch. The optimiser of the search is Adam; the paper does not name one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.dcgan import Decoder, Encoder, widths
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.maps import smooth
from ad_models.pixels import signed, unsigned
from ad_models.run import Run
from ad_models.views import assemble, check_stride, draw, inspect


@dataclass(frozen=True)
class AnoganConfig:
    size: int = 64  # pixels, side of what the networks see; section 3
    stride: int | None = None  # pixels between patches of `size`; none: whole images, resized; ours
    base: int = 64  # channels of the first layer; DCGAN
    code: int = 100  # dimensions; DCGAN
    epochs: int = 1000  # ours (section 3: 20, of a million patches)
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 2e-4  # of both Adams; DCGAN
    steps: int = 500  # of the search; section 3
    search_lr: float = 0.02  # of its Adam; after Bergmann et al. 2019
    share: float = 0.1  # lambda, of the discriminator's features in the loss; section 3
    sigma: float = 0.0  # blur of the map, pixels; ours
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        widths(self.size, self.base)
        check_stride(self.size, self.stride)
        for name in ("base", "code", "epochs", "steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.share <= 1:
            raise ConfigError(f"share must be 0 to 1, got {self.share}")


class Anogan(Detector):
    Config = AnoganConfig
    no_export = "each image is searched for by gradient descent, which no graph can hold"

    def __init__(self, config: AnoganConfig) -> None:
        super().__init__(config)
        self.generator = Decoder(config.size, config.base, config.code)
        self.discriminator = Encoder(config.size, config.base, 1)
        self.start: Tensor
        self.register_buffer("start", 2 * torch.rand(config.code) - 1)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        betas = (0.5, 0.999)  # DCGAN
        drawing = torch.optim.Adam(self.generator.parameters(), self.config.lr, betas)
        judging = torch.optim.Adam(self.discriminator.parameters(), self.config.lr, betas)
        changing = (self.generator, self.discriminator, drawing, judging)
        for _ in run.epochs(self.config.epochs, *changing):
            for batch in run.steps(epoch(loader, self.config.batches)):
                views = draw(batch.image, self.config.size, self.config.stride)
                images = signed(views, self.config.size)
                codes = 2 * torch.rand(len(images), self.config.code).to(images.device) - 1
                drawn = self.generator(codes)

                judged = self.judged(images, True) + self.judged(drawn.detach(), False)
                judging.zero_grad()
                judged.backward()
                judging.step()

                fooled = self.judged(drawn, True)  # equation 1, non-saturating
                drawing.zero_grad()
                fooled.backward()
                drawing.step()
                run.log(discriminator=judged, generator=fooled)

    def judged(self, images: Tensor, real: bool) -> Tensor:
        """Cross entropy of the discriminator's output for images (B, 3, size, size)."""
        verdict = self.discriminator(images)
        return F.binary_cross_entropy_with_logits(verdict, torch.full_like(verdict, float(real)))

    def loss(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Anomaly score (B,) of images and their drawings; equations 3 to 5."""
        residual = (images - drawn).abs().flatten(1).sum(1)
        real, fake = (self.discriminator.trunk(x).flatten(1) for x in (images, drawn))
        features = (real - fake).abs().sum(1)
        return (1 - self.config.share) * residual + self.config.share * features

    def search(self, images: Tensor) -> Tensor:
        """The codes (B, code) that draw images (B, 3, size, size) best."""
        codes = self.start.repeat(len(images), 1).requires_grad_()
        optimiser = torch.optim.Adam([codes], self.config.search_lr)
        for _ in range(self.config.steps):
            # each image has its own code and Adam its own moments: the sum does not mix them
            (codes.grad,) = torch.autograd.grad(
                self.loss(images, self.generator(codes)).sum(), codes
            )
            optimiser.step()
        return codes.detach()

    def redraw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images as the networks see them, and as they draw them best (B, 3, size, size)."""
        with torch.inference_mode(False), torch.enable_grad():
            seen = signed(images.clone(), self.config.size)  # clone: may be an inference tensor
            codes = self.search(seen)
        return seen, self.generator(codes)

    def reconstruct(self, images: Tensor) -> Tensor:
        def drawn(views: Tensor) -> Tensor:
            return unsigned(self.redraw(views)[1], views.shape[-2:])

        return assemble(drawn, images, self.config.size, self.config.stride)

    def inspect(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,) and maps (N, 1, size, size) of views (N, 3, size, size)."""
        seen, drawn = self.redraw(views)
        return self.loss(seen, drawn), (seen - drawn).abs().mean(1, keepdim=True)

    def forward(self, images: Tensor) -> Prediction:
        score, maps = inspect(self.inspect, images, self.config.size, self.config.stride)
        return Prediction(score, smooth(maps, self.config.sigma))
