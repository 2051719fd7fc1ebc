"""EfficientAD: a small student and an autoencoder, both trained to predict a small teacher.

Batzner, Heckler and König, WACV 2024, https://arxiv.org/abs/2303.14535

Idea (section 3): a teacher of a few convolutions describes each patch of 33 x 33 pixels like a deep
backbone. A student of the same shape learns its output on normal images, only at the positions
where it is worst (the hard loss), and its output must be small on natural images (the penalty).
Where student and teacher differ, there is a local anomaly. An autoencoder predicts the teacher from
a code of the whole image, and the student predicts the autoencoder too. Where these two differ, the
arrangement of parts is wrong. Quantiles of normal images bring both maps to one scale.

Differs from the paper: a teacher file is not needed: a teacher can first be distilled here, from
the product's images and natural images. Then the backbone gets the loaded image enlarged, not the
original at twice the size, and its layers are joined as in our PatchCore. The border of a map,
where no patch is centred, is filled with distance 0 before the quantiles scale it; filled later, it
would differ from most of a good image. The penalty needs a folder of natural images; without one it
is left out, or uses drawn textures.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2.functional import (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
    center_crop,
)

from ad_models.base import Batch, Detector, Prediction
from ad_models.errors import ConfigError, InputError
from ad_models.patch_description import (
    LAYERS,
    REACH,
    Lessons,
    PatchDescription,
    Plan,
    Standard,
    distil,
    faded,
    resized,
)
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.synthetic import Textures

ALTERATIONS = (adjust_brightness, adjust_contrast, adjust_saturation)
GROWTH = ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1))  # 3, 8, 15, 32, 63, 127 of 256
LOST = 4  # positions at each side of a map that unpadded convolutions lose


@dataclass(frozen=True)
class EfficientadConfig:
    size: str = "small"  # or "medium"; appendix
    steps: int = 70000  # of one image each; section 4
    lr: float = 1e-4  # of Adam, a tenth after 95 % of the steps; section 4
    hard: float = 0.999  # share of the distances that the hard loss leaves out; section 3.2
    quantiles: tuple[float, ...] = (0.9, 0.995)  # that become 0 and 0.1; section 3.4
    natural: str = "none"  # natural images: a folder (paper: ImageNet), drawn or none
    teacher: str = ""  # file of a distilled teacher; empty: distil one first
    teacher_steps: int = 60000  # batches; section 3.1
    teacher_lr: float = 1e-4  # of Adam; section 3.1
    backbone: str = "wide_resnet101_2"  # that is distilled; section 3.1
    layers: tuple[str, ...] = ("layer2", "layer3")  # of the backbone; section 3.1
    enlarged: int = 2  # times, of the image that the backbone sees; section 3.1
    channels: int = 384  # of the teacher's descriptions; appendix
    width: int = 128  # channels of the first layer of small; all networks follow it; appendix
    side: int = 256  # pixels: images of another size are resized for the autoencoder; appendix
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size not in LAYERS:
            raise ConfigError(f"size must be small or medium, got '{self.size}'")
        if not 0 <= self.hard < 1:
            raise ConfigError(f"hard must be at least 0 and below 1, got {self.hard}")
        if len(self.quantiles) != 2 or not 0 <= self.quantiles[0] < self.quantiles[1] <= 1:
            raise ConfigError(f"quantiles must be two rising shares, got {self.quantiles}")
        if self.side < 64 or self.side % 64:
            raise ConfigError(f"side must be a multiple of 64, got {self.side}")
        if self.width % 4:
            raise ConfigError(f"width must be a multiple of 4, got {self.width}")


class Autoencoder(nn.Module):
    """Descriptions (B, C, *grid) of images, from a code of one position (appendix)."""

    def __init__(self, width: int, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        narrow, wide = width // 4, width // 2
        layers: list[nn.Module] = []
        for before, after in zip(
            (3, narrow, narrow, wide, wide), (narrow, narrow, wide, wide, wide), strict=True
        ):
            layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers, nn.Conv2d(wide, wide, side // 32))
        self.sides = [max(1, side // part - less) for part, less in GROWTH]
        self.decoder = nn.ModuleList(nn.Conv2d(wide, wide, 4, padding=2) for _ in GROWTH)
        self.head = nn.Sequential(
            nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU(), nn.Conv2d(wide, channels, 3, padding=1)
        )

    def forward(self, images: Tensor, grid: torch.Size) -> Tensor:
        x = self.encoder(resized(images, (self.side, self.side)))
        for side, layer in zip(self.sides, self.decoder, strict=True):
            x = F.dropout(F.relu(layer(resized(x, (side, side)))), 0.2, self.training)
        return self.head(resized(x, grid))


class Efficientad(Detector):
    Config = EfficientadConfig

    def __init__(self, config: EfficientadConfig) -> None:
        super().__init__(config)
        channels = config.channels
        self.teacher = PatchDescription(config.size, config.width, channels)
        self.student = PatchDescription(config.size, config.width, 2 * channels)
        self.autoencoder = Autoencoder(config.width, channels, config.side)
        self.standard = Standard(channels)
        self.bounds: Tensor
        self.register_buffer("bounds", torch.tensor([[0.0, 0.1], [0.0, 0.1]]))  # of either map

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        config = self.config
        natural = self.natural()
        self.teach(loader, run, natural)
        for _ in run.epochs(1, self.standard, stage="statistics"):
            with torch.no_grad():
                self.standard.learn(self.teacher(batch.image) for batch in run.steps(loader))
        count = int(self.standard.seen[1])
        epochs = math.ceil(config.steps / count)
        parameters = [*self.student.parameters(), *self.autoencoder.parameters()]
        optimiser = torch.optim.Adam(parameters, config.lr, weight_decay=1e-5)  # section 4
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, max(1, int(0.95 * epochs * count)))
        for _ in run.epochs(epochs, self.student, self.autoencoder, optimiser, schedule):
            for batch in run.steps(loader):
                for image in batch.image.split(1):  # one image a step is part of the method
                    losses = self.losses(image, penalised(image, natural) if natural else None)
                    optimiser.zero_grad()
                    torch.stack(list(losses.values())).sum().backward()
                    optimiser.step()
                    schedule.step()
                    run.log(**losses)

    def natural(self) -> Textures | None:
        """The natural images for the penalty, if any."""
        if self.config.natural == "none":
            return None
        return Textures(None if self.config.natural == "drawn" else self.config.natural)

    def teach(self, loader: Iterable[Batch], run: Run, natural: Textures | None) -> None:
        """Load the teacher from its file, or distil it, and record which."""
        config = self.config
        if config.teacher:
            self.teacher.read(Path(config.teacher))
        else:
            lessons = Lessons(
                config.backbone, config.layers, config.weights, config.channels, config.enlarged
            )
            plan = Plan(config.teacher_steps, config.teacher_lr, natural)
            distil(self.teacher, lessons.to(run.device), loader, run, plan)
        images = f"{len(natural.paths)} images" if natural and natural.paths else config.natural
        self.teacher.source += f"; natural images: {images}"

    def losses(self, images: Tensor, natural: Tensor | None) -> dict[str, Tensor]:
        """The losses of student and autoencoder, to be added (section 3.3)."""
        altered = recoloured(images)
        with torch.no_grad():
            wanted, wanted_altered = self.standard(
                self.teacher(torch.cat([images, altered]))
            ).split(len(images))
        # only the half of the outputs that a loss compares is computed
        half = self.config.channels
        seen = images if natural is None else torch.cat([images, natural])
        answers = self.student(seen, kept=slice(0, half))
        rebuilt = self.autoencoder(altered, wanted.shape[-2:])
        predicted = self.student(altered, kept=slice(half, None))
        losses = {
            "hard": hardest((wanted - answers[: len(images)]).square(), self.config.hard).mean(),
            "autoencoder": F.mse_loss(rebuilt, wanted_altered),
            "student_of_autoencoder": F.mse_loss(predicted, rebuilt),
        }
        if natural is not None:
            losses["penalty"] = answers[len(images) :].square().mean()
        return losses

    def maps(self, images: Tensor) -> Tensor:
        """Squared distances (B, 2, h, w) of the student to the teacher and to the autoencoder."""
        if min(images.shape[-2:]) < REACH:
            raise InputError(f"image sides must be at least {REACH}, got {images.shape[-2:]}")
        wanted = self.standard(self.teacher(images))
        answers, predicted = self.student(images).chunk(2, dim=1)
        rebuilt = self.autoencoder(images, wanted.shape[-2:])
        return torch.stack([wanted - answers, rebuilt - predicted], dim=1).square().mean(2)

    @torch.no_grad()
    def calibrate(self, normals: Iterable[Batch], run: Run) -> None:
        """Find the quantiles of both maps over all positions of normal images (section 3.4)."""
        found = [self.maps(batch.image).cpu() for batch in run.steps(normals)]
        if found:
            distances = torch.cat(found).transpose(0, 1).flatten(1).numpy()  # (2, N)
            bounds = np.quantile(distances, self.config.quantiles, axis=1).T
            self.bounds.copy_(torch.from_numpy(bounds))

    def forward(self, images: Tensor) -> Prediction:
        low, high = self.bounds.unbind(1)
        maps = resized(F.pad(self.maps(images), [LOST] * 4), images.shape[-2:])
        scaled = 0.1 * (maps - low.view(2, 1, 1)) / (high - low).clamp_min(1e-12).view(2, 1, 1)
        maps = scaled.mean(1, keepdim=True)  # section 3.4
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)


def hardest(distances: Tensor, left_out: float) -> Tensor:
    """The largest distances: those at or above their quantile `left_out` (section 3.2).

    By topk: torch.quantile takes no more than 2^24 numbers.
    """
    count = distances.numel()
    return distances.flatten().topk(count - math.ceil(left_out * (count - 1))).values


def recoloured(images: Tensor) -> Tensor:
    """Images of another brightness, contrast or saturation, by up to a fifth (section 3.3)."""
    change = ALTERATIONS[int(torch.randint(len(ALTERATIONS), ()))]
    return normalised(change(unit(images), 0.8 + 0.4 * float(torch.rand(()))))


def penalised(images: Tensor, natural: Textures) -> Tensor:
    """The same number of natural images of the same size: crops from the centre (section 3.2)."""
    height, width = images.shape[-2:]
    larger = normalised(natural(len(images), (2 * height, 2 * width), images.device))
    return center_crop(faded(larger, 0.3), [height, width])
