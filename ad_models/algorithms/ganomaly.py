"""GANomaly: encode, decode, encode again; the two codes of an anomaly differ.

Akcay et al., ACCV 2018, https://arxiv.org/abs/1805.06725

Idea (section 3): an autoencoder is trained on normal images against a discriminator, and a second
encoder reads its output. What the decoder cannot draw is missing in the second code, so the
distance between the codes is the image's score (equation 5).

Differs from the paper: the score is the mean square of the difference, and the discriminator is
initialised again when it has won, as in the official code. The paper has no anomaly map: ours is
the difference to the decoder's image, |x - x'|. Scores are not rescaled by those of the test set.
Images are resized to `size`, or cut into patches of it where `stride` is given, of which the one
with the highest score counts; channels stop doubling at 512. A step takes the batch of the loader:
with `preset: paper` 64 images, as in the official code. Batch norms are in evaluation mode when
scoring, where the official code takes the statistics of the test batch.

The distance of the codes also says how well the second encoder imitates the first, and it follows
the brightness of an image. `score` offers two others: the largest value of the map, and the mean
square by which the discriminator's features of x and x' differ (as in AnoGAN's score).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.dcgan import Decoder, Encoder, initialise, widths
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.maps import smooth
from ad_models.pixels import signed, unsigned
from ad_models.run import Run
from ad_models.views import assemble, check_stride, draw, inspect

WON = 1e-5  # a discriminator with a smaller loss is initialised again; official code


@dataclass(frozen=True)
class GanomalyConfig:
    size: int = 32  # pixels, side of what the networks see; section 4
    stride: int | None = None  # pixels between patches of `size`; none: whole images, resized; ours
    base: int = 64  # channels of the first layer; official code
    code: int = 100  # dimensions; section 4.2
    epochs: int = 15  # section 4.2, of tens of thousands of images: few images need more
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 2e-4  # of both Adams; section 4.2
    adversarial: float = 1.0  # weights of the losses; section 4.2
    contextual: float = 50.0
    latent: float = 1.0  # "encoder loss" in the paper
    score: str = "codes"  # equation 5; ours: "map", its largest value, or "features", equation 1
    sigma: float = 0.0  # blur of the map, pixels; ours
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        widths(self.size, self.base)
        check_stride(self.size, self.stride)
        if self.score not in ("codes", "map", "features"):
            raise ConfigError(f"score must be codes, map or features, got {self.score!r}")
        for name in ("base", "code", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


class Ganomaly(Detector):
    Config = GanomalyConfig

    def __init__(self, config: GanomalyConfig) -> None:
        super().__init__(config)
        self.encoder = Encoder(config.size, config.base, config.code)
        self.decoder = Decoder(config.size, config.base, config.code)
        self.second = Encoder(config.size, config.base, config.code)
        self.discriminator = Encoder(config.size, config.base, 1)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        generator = nn.ModuleList([self.encoder, self.decoder, self.second])
        betas = (0.5, 0.999)  # section 4.2
        generating = torch.optim.Adam(generator.parameters(), self.config.lr, betas)
        judging = torch.optim.Adam(self.discriminator.parameters(), self.config.lr, betas)
        changing = (generator, self.discriminator, generating, judging)
        for _ in run.epochs(self.config.epochs, *changing):
            for batch in run.steps(epoch(loader, self.config.batches)):
                views = draw(batch.image, self.config.size, self.config.stride)
                images = signed(views, self.config.size)
                codes = run.mixed(self.encoder, images)
                drawn = run.mixed(self.decoder, codes)
                again = run.mixed(self.second, drawn)
                loss = self.generator_loss(images, drawn, codes, again)
                generating.zero_grad()
                loss.backward()
                generating.step()

                judged = self.discriminator_loss(images, drawn.detach())
                judging.zero_grad()
                judged.backward()
                judging.step()
                if judged < WON:
                    self.discriminator.apply(initialise)
                run.log(generator=loss, discriminator=judged)

    def generator_loss(self, images: Tensor, drawn: Tensor, codes: Tensor, again: Tensor) -> Tensor:
        real, fake = (self.discriminator.trunk(x) for x in (images, drawn))
        return (
            self.config.adversarial * F.mse_loss(fake, real)  # equation 1
            + self.config.contextual * F.l1_loss(drawn, images)  # equation 2
            + self.config.latent * F.mse_loss(again, codes)  # equation 3
        )

    def discriminator_loss(self, images: Tensor, drawn: Tensor) -> Tensor:
        real, fake = self.discriminator(images), self.discriminator(drawn)
        right = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
        return (right + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))) / 2

    def reconstruct(self, images: Tensor) -> Tensor:
        def drawn(views: Tensor) -> Tensor:
            made = self.decoder(self.encoder(signed(views, self.config.size)))
            return unsigned(made, views.shape[-2:])

        return assemble(drawn, images, self.config.size, self.config.stride)

    def inspect(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,) and maps (N, 1, size, size) of views (N, 3, size, size)."""
        seen = signed(views, self.config.size)
        codes = self.encoder(seen)
        drawn = self.decoder(codes)
        if self.config.score == "features":
            real, fake = (self.discriminator.trunk(x) for x in (seen, drawn))
            score = (real - fake).square().mean((1, 2, 3))  # equation 1, of each image
        else:
            score = (codes - self.second(drawn)).square().mean(1)  # equation 5; official code
        return score, (seen - drawn).abs().mean(1, keepdim=True)

    def forward(self, images: Tensor) -> Prediction:
        score, maps = inspect(self.inspect, images, self.config.size, self.config.stride)
        maps = smooth(maps, self.config.sigma)
        if self.config.score == "map":
            score = maps.amax(dim=(1, 2, 3))
        return Prediction(score, maps)
