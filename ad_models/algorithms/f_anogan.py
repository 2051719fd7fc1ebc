"""f-AnoGAN: a Wasserstein GAN of normal images, and an encoder trained to find its codes.

Schlegl et al., Medical Image Analysis 54, 2019, https://doi.org/10.1016/j.media.2019.01.010;
the GAN is that of Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028

Idea (section 2): first a generator learns to draw normal images against a critic with a gradient
penalty. Then both are frozen, and an encoder learns the code that draws an image again, in pixels
and in the critic's features ("izi_f"). For an anomaly there is no such code.

Differs from the paper: colour images, resized to `size`: a defect smaller than a pixel of that size
is not seen. The paper cuts grey patches of 64 pixels, as `stride` does (of colour); the largest
distance of a patch is the image's. Epochs: ours, a few hundred images instead of a million patches.
A step takes the batch of the loader: with `preset: paper` 64 images, as the official code has
patches. The distance is a mean over the whole image, which a small defect hardly changes: `score:
map` takes the largest value of the map instead.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.dcgan import gradient_penalty, widths
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.maps import smooth
from ad_models.pixels import signed, unsigned
from ad_models.run import Run
from ad_models.views import assemble, check_stride, draw, inspect


@dataclass(frozen=True)
class FAnoganConfig:
    size: int = 64  # pixels, side of what the networks see; section 3.2
    stride: int | None = None  # pixels between patches of `size`; none: whole images, resized; ours
    base: int = 64  # channels; official code
    code: int = 128  # dimensions; official code
    epochs: int = 2000  # of the GAN; ours (official code: 7, of a million patches)
    encoder_epochs: int = 1000  # ours (official code: 50,000 steps)
    batches: int = 0  # of an epoch; 0: one pass over the images
    critic_steps: int = 5  # per step of the generator; official code
    penalty: float = 10.0  # weight of the gradient penalty; official code
    kappa: float = 1.0  # weight of the critic's features; equation 4
    lr: float = 1e-4  # of the GAN's Adams; official code
    encoder_lr: float = 5e-5  # of RMSProp; official code
    score: str = "distance"  # of an image; "map": the largest value of the map; ours
    sigma: float = 0.0  # blur of the map, pixels; ours
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        widths(self.size, self.base)
        check_stride(self.size, self.stride)
        if self.score not in ("distance", "map"):
            raise ConfigError(f"score must be 'distance' or 'map', got {self.score!r}")
        for name in ("base", "code", "epochs", "encoder_epochs", "critic_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


class Block(nn.Module):
    """A pre-activated residual block that halves or doubles the map; official code.

    norm: the critic has layer norm, since its gradient is computed for each image separately.
    """

    def __init__(self, channels: int, out: int, up: bool, norm: type[nn.Module]) -> None:
        super().__init__()
        middle = out if up else channels
        self.norms = nn.ModuleList([norm(channels), norm(middle)])
        self.first = nn.Conv2d(channels, middle, 3, padding=1, bias=False)
        self.second = nn.Conv2d(middle, out, 3, padding=1)
        self.shortcut = nn.Conv2d(channels, out, 1)
        self.up = up

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](x))
        if self.up:
            x, y = (F.interpolate(v, scale_factor=2.0, mode="nearest") for v in (x, y))
            return self.shortcut(x) + self.second(F.relu(self.norms[1](self.first(y))))
        y = self.second(F.relu(self.norms[1](self.first(y))))
        return F.avg_pool2d(self.shortcut(x) + y, 2)


class LayerNorm(nn.GroupNorm):
    """Over channels and positions at once, with a scale and shift of each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


def ladder(size: int, base: int) -> list[int]:
    """Channels at `size`, `size` / 2, ... 4 pixels: 1, 2, 4, 8, 8 ... times `base`."""
    return [base, *widths(size, 2 * base, 8 * base)]


class Generator(nn.Module):
    """Map codes (B, code) to images (B, 3, size, size) in -1..1."""

    def __init__(self, size: int, base: int, code: int) -> None:
        super().__init__()
        channels = ladder(size, base)[::-1]
        self.start = nn.Linear(code, channels[0] * 16)
        pairs = itertools.pairwise(channels)
        blocks = [Block(a, b, True, nn.BatchNorm2d) for a, b in pairs]
        last = nn.Conv2d(base, 3, 3, padding=1)
        self.body = nn.Sequential(*blocks, nn.BatchNorm2d(base), nn.ReLU(), last, nn.Tanh())

    def forward(self, codes: Tensor) -> Tensor:
        return self.body(self.start(codes).unflatten(1, (-1, 4, 4)))


class Trunk(nn.Module):
    """Map images (B, 3, size, size) to features (B, D) and the output of a last layer."""

    def __init__(self, size: int, base: int, out: int, norm: type[nn.Module]) -> None:
        super().__init__()
        channels = ladder(size, base)
        pairs = itertools.pairwise(channels)
        blocks = [Block(a, b, False, norm) for a, b in pairs]
        self.features = nn.Sequential(nn.Conv2d(3, base, 3, padding=1), *blocks, nn.Flatten())
        self.last = nn.Linear(channels[-1] * 16, out)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.features(images))


def initialise(net: nn.Module) -> None:
    """Uniform weights of variance 2 / (fan in + fan out) for linear layers, shortcuts and what
    reads an image, twice that for other convolutions; biases are zero. Official code."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            narrow = isinstance(module, nn.Linear) or name.endswith(("shortcut", "features.0"))
            nn.init.xavier_uniform_(module.weight, gain=1 if narrow else math.sqrt(2))
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class FAnogan(Detector):
    Config = FAnoganConfig

    def __init__(self, config: FAnoganConfig) -> None:
        super().__init__(config)
        self.generator = Generator(config.size, config.base, config.code)
        self.critic = Trunk(config.size, config.base, 1, LayerNorm)
        self.encoder = Trunk(config.size, config.base, config.code, nn.BatchNorm2d)
        for net in (self.generator, self.critic, self.encoder):
            initialise(net)
        self.to(memory_format=torch.channels_last)  # a fifth faster on a CPU
        self.turn: Tensor
        self.register_buffer("turn", torch.tensor(0))  # steps of the critic so far

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        self.requires_grad_(True)  # an earlier fit froze two networks
        self.learn_gan(loader, run)
        self.learn_encoder(loader, run)

    def learn_gan(self, loader: Iterable[Batch], run: Run) -> None:
        betas = (0.0, 0.9)  # official code
        drawing = torch.optim.Adam(self.generator.parameters(), self.config.lr, betas)
        judging = torch.optim.Adam(self.critic.parameters(), self.config.lr, betas)
        for _ in run.epochs(self.config.epochs, self, drawing, judging, stage="gan"):
            for batch in run.steps(epoch(loader, self.config.batches)):
                views = draw(batch.image, self.config.size, self.config.stride)
                images = signed(views, self.config.size)
                loss = self.critic_loss(images, self.draw(len(images)).detach())
                judging.zero_grad()
                loss.backward()
                judging.step()
                run.log(critic=loss)
                self.turn += 1
                if self.turn % self.config.critic_steps == 0:
                    loss = -self.critic(self.draw(len(images))).mean()
                    drawing.zero_grad()
                    loss.backward()
                    drawing.step()
                    run.log(generator=loss)

    def draw(self, count: int) -> Tensor:
        return self.generator(torch.randn(count, self.config.code).to(self.fitted.device))

    def critic_loss(self, images: Tensor, drawn: Tensor) -> Tensor:
        distance = self.critic(drawn).mean() - self.critic(images).mean()
        return distance + self.config.penalty * gradient_penalty(self.critic, images, drawn)

    def learn_encoder(self, loader: Iterable[Batch], run: Run) -> None:
        self.generator.eval().requires_grad_(False)
        self.critic.eval().requires_grad_(False)
        optimiser = torch.optim.RMSprop(self.encoder.parameters(), self.config.encoder_lr, 0.9)
        epochs = self.config.encoder_epochs
        for _ in run.epochs(epochs, self.encoder, optimiser, stage="encoder"):
            for batch in run.steps(epoch(loader, self.config.batches)):
                views = draw(batch.image, self.config.size, self.config.stride)
                loss = self.distance(*self.redraw(views)).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(encoder=loss)

    def redraw(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images as the networks see them, and as they draw them again (B, 3, size, size)."""
        seen = signed(images, self.config.size)
        return seen, self.generator(self.encoder(seen).tanh())  # tanh: official code

    def distance(self, images: Tensor, drawn: Tensor) -> Tensor:
        """Mean square in pixels and in the critic's features (B,); equations 3 to 5."""
        real, fake = self.critic.features(images), self.critic.features(drawn)
        features = (real - fake).square().mean(1)
        return (images - drawn).square().mean((1, 2, 3)) + self.config.kappa * features

    def reconstruct(self, images: Tensor) -> Tensor:
        def drawn(views: Tensor) -> Tensor:
            return unsigned(self.redraw(views)[1], views.shape[-2:])

        return assemble(drawn, images, self.config.size, self.config.stride)

    def inspect(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Distances (N,) and maps (N, 1, size, size) of views (N, 3, size, size); equation 5."""
        seen, drawn = self.redraw(views)
        return self.distance(seen, drawn), (seen - drawn).abs().mean(1, keepdim=True)

    def forward(self, images: Tensor) -> Prediction:
        distance, maps = inspect(self.inspect, images, self.config.size, self.config.stride)
        maps = smooth(maps, self.config.sigma)
        score = maps.amax(dim=(1, 2, 3)) if self.config.score == "map" else distance
        return Prediction(score, maps)
