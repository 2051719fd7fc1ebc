"""FCDD: a network whose coarse output is itself the anomaly heat map.

Liznerski et al., ICLR 2021, https://arxiv.org/abs/2007.01760

Idea (section 3): a fully convolutional network is trained for outputs near zero on normal images
and far from zero on outliers. The distance at each coarse position is the explanation. A fixed
Gaussian spreads each output over the pixels of its receptive field. Outliers are synthetic:
confetti on normal images. With a folder of other images, these are the outliers (outlier exposure).

Differs from the paper: batches are as large as the loader makes them (with `preset: paper` 128, as
in the official code); batch norm of the frozen layers does not change; crops are taken from the
image enlarged by 15/14, since the original is not available; upsampling keeps the level of the
distances, while the official kernel multiplies it by a number that depends on the receptive field;
the blobs of confetti grow with the image, every coloured blob has a colour of its own, and where
blobs meet the stronger one counts, while the official code adds the coloured ones to the black
ones. Published figures are of images of 224 pixels, those of `preset: paper`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.transforms.v2 import ColorJitter, RandomCrop

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid
from ad_models.maps import smooth
from ad_models.pixels import normalised, unit
from ad_models.run import Run
from ad_models.search import Share
from ad_models.synthetic import Textures, grid, spoil, turned, uniform

BLOBS = (1.8e-5, 1.2e-5)  # a pixel, coloured and black; official code
HARDLY = 0.025 / 255  # mean change of an image that confetti can hardly darken; official code
ORIGINAL = 224  # pixels: side of the images that confetti is made for; official code


@dataclass(frozen=True)
class FcddConfig:
    backbone: str = "vgg11_bn"  # section 4.2
    layer: str = "features.20"  # backbone; official code
    frozen: str = "features.14"  # the deepest layer that is not trained; official code
    outliers: str = "confetti"  # confetti, perlin (drawn defects), or a folder of other images
    share: Share = 0.5  # share of images that become outliers; official code
    epochs: int = 2000  # passes over the images: 200 epochs of 10 passes; official code
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 0.001  # of SGD, times 0.985 after every 10 passes; official code
    sigma: float = 12.0  # pixels, of the Gaussian that spreads an output; section 4.2
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if not 0 < self.share < 1:
            raise ConfigError(f"share must lie between 0 and 1, got {self.share}")
        if self.sigma <= 0:
            raise ConfigError(f"sigma must be positive, got {self.sigma}")


class Contrast(nn.Module):
    """Colours (B, 3, H, W) with brightness and contrast of each image removed, in the range of
    normals.

    An image loses its mean and is divided by its mean absolute deviation; then each channel's
    extremes over the normal images become 0 and 1 (official code).
    """

    def __init__(self) -> None:
        super().__init__()
        self.low: Tensor
        self.high: Tensor
        self.register_buffer("low", torch.full((3, 1, 1), torch.inf))
        self.register_buffer("high", torch.full((3, 1, 1), -torch.inf))

    def freed(self, colours: Tensor) -> Tensor:
        centred = colours - colours.mean((1, 2, 3), keepdim=True)
        return centred / centred.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)

    def learn(self, colours: Tensor) -> None:
        channels = self.freed(colours).movedim(1, 0).flatten(1)
        self.low.copy_(torch.minimum(self.low, channels.amin(1).view(3, 1, 1)))
        self.high.copy_(torch.maximum(self.high, channels.amax(1).view(3, 1, 1)))

    def forward(self, colours: Tensor) -> Tensor:
        return (self.freed(colours) - self.low) / (self.high - self.low).clamp_min(1e-6)


class Fcdd(Detector):
    Config = FcddConfig

    def __init__(self, config: FcddConfig) -> None:
        super().__init__(config)
        self.contrast = Contrast()
        self.stem = Pyramid(config.backbone, (config.frozen,), config.weights)
        whole = Pyramid(config.backbone, (config.layer,), config.weights, folded=False)
        kept = whole.order[len(self.stem.order) :]
        if not kept:
            raise ConfigError(f"layer {config.layer} must lie behind frozen {config.frozen}")
        self.trained = nn.Sequential(*(whole.net.get_submodule(name) for name in kept))
        self.trained.requires_grad_(True)
        self.answer = nn.Conv2d(whole.channels[0], 1, 1)
        self.field = field(whole)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        others = None
        if self.config.outliers not in ("confetti", "perlin"):
            others = Textures(self.config.outliers)
        for _ in run.epochs(1, self.contrast, stage="range"):
            for batch in run.steps(loader):
                self.contrast.learn(unit(batch.image))
        if not self.contrast.low.isfinite().all():
            raise InputError("FCDD needs at least 1 normal image")
        changing = (self.trained, self.answer)
        parameters = [p for module in changing for p in module.parameters()]
        optimiser = torch.optim.SGD(
            parameters, self.config.lr, momentum=0.9, nesterov=True, weight_decay=1e-4
        )  # official code
        schedule = torch.optim.lr_scheduler.StepLR(optimiser, 10, 0.985)
        for _ in run.epochs(self.config.epochs, *changing, optimiser, schedule):
            for batch in run.steps(epoch(loader, self.config.batches)):
                colours, outlier = self.exposed(unit(batch.image), others)
                loss = one_class(run.mixed(self.distances, varied(colours)), outlier)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)
            schedule.step()

    def exposed(self, colours: Tensor, others: Textures | None) -> tuple[Tensor, Tensor]:
        """Colours (B, 3, H, W) with a random share of outliers, and (B,) which are outliers."""
        if self.config.outliers == "perlin":
            drawn = Textures()(len(colours), colours.shape[-2:], colours.device)
            spoiled, masks = spoil(normalised(colours), drawn, self.config.share)
            return unit(spoiled), masks.flatten(1).amax(1) > 0
        outlier = torch.rand(len(colours)).to(colours.device) < self.config.share
        if others is None:
            made = confetti(colours)
        else:
            made = others(len(colours), colours.shape[-2:], colours.device)
        return torch.where(outlier.view(-1, 1, 1, 1), made, colours), outlier

    def distances(self, colours: Tensor) -> Tensor:
        """How far (B, 1, h, w) each coarse position is from normal: equation 1, pseudo-Huber."""
        squared = self.answer(self.trained(self.stem(self.contrast(colours))[0])).square()
        return squared / ((squared + 1).sqrt() + 1)  # sqrt(squared + 1) - 1 without its rounding

    def forward(self, images: Tensor) -> Prediction:
        distances = self.distances(unit(images))
        maps = spread(distances, images.shape[-2:], self.field, self.config.sigma)
        return Prediction(score=distances.mean((1, 2, 3)), map=maps)


def one_class(distances: Tensor, outlier: Tensor) -> Tensor:
    """Mean distance of normal images, -log(1 - exp(-mean distance)) of outliers: equation 2."""
    mean = distances.mean((1, 2, 3))
    return torch.where(outlier, -(-torch.expm1(-mean.clamp_min(1e-6))).log(), mean).mean()


def field(pyramid: Pyramid) -> tuple[int, int, int]:
    """Receptive field of the deepest layer: its side, its step, and its first pixel, often < 0."""
    side, step, first = 1, 1, 0
    for child in pyramid.order:
        for name, layer in pyramid.net.get_submodule(child).named_modules():
            # a residual block's shortcut sees less than its body
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d) and (
                "downsample" not in name
            ):
                kernel, stride, padding = (
                    int(v[0] if isinstance(v, tuple) else v)
                    for v in (layer.kernel_size, layer.stride, layer.padding)
                )
                side, first, step = (
                    side + (kernel - 1) * step,
                    first - padding * step,
                    step * stride,
                )
    return side, step, first


def spread(
    distances: Tensor, size: Sequence[int], field: tuple[int, int, int], sigma: float
) -> Tensor:
    """Map (B, 1, H, W): the sum of a Gaussian over each position's receptive field (algorithm 1).

    The level stays the same, except at the border, which fewer positions cover.
    """
    side, step, first = field
    x = torch.arange(side, dtype=distances.dtype, device=distances.device) - (side - 1) / 2
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = step * kernel / kernel.sum()
    tall = F.conv_transpose2d(distances, kernel.view(1, 1, -1, 1), stride=(step, 1))
    maps = F.conv_transpose2d(tall, kernel.view(1, 1, 1, -1), stride=(1, step))
    bottom, right = (n - first - m for n, m in zip(size, maps.shape[-2:], strict=True))
    return F.pad(maps, (first, right, first, bottom))  # negative: pixels outside are cut off


def confetti(colours: Tensor) -> Tensor:
    """Images (B, 3, H, W) in 0..1 with soft blobs: coloured ones, and black ones (official code).

    A dark blob on a dark background becomes a bright blob.
    """
    size, device = colours.shape[-2:], colours.device
    scale = min(size) / ORIGINAL
    rows, columns = grid(size, device)
    spoiled = []
    for image in colours:
        coloured, black = (at_least_one(rate * ORIGINAL**2) for rate in BLOBS)
        blobs = torch.zeros_like(image)
        for blob in range(coloured + black):
            offset = torch.rand(3, 1, 1) if blob < coloured else torch.ones(3, 1, 1)
            top, left = (n * float(torch.rand(()) - 0.5) for n in size)
            angle = uniform(-torch.pi / 4, torch.pi / 4, (1,), device)
            y, x = turned(rows - top, columns - left, angle)
            half = scale * float(8 + 46 * torch.rand(())) / 2
            inside = torch.maximum(y.abs(), x.abs()) <= half
            blobs = torch.maximum(blobs, offset.to(device) * inside)
        blobs = smooth(blobs.unsqueeze(1), 5 * scale).squeeze(1)
        darker = (image - blobs).clamp_min(0)
        brighter = (image + blobs).clamp_max(1)
        down, up = (image - darker).mean(), (brighter - image).mean()
        hardly = (down < HARDLY) & (up > down)
        spoiled.append(torch.where(hardly, brighter, darker))
    return torch.stack(spoiled)


def at_least_one(rate: float) -> int:
    """Of a Poisson distribution, but at least 1."""
    while True:
        if drawn := int(torch.poisson(torch.tensor(rate))):
            return drawn


def varied(colours: Tensor) -> Tensor:
    """Images (B, 3, H, W) with slightly different light, some of them cropped, some noisy."""
    height, width = colours.shape[-2:]
    crop = RandomCrop((height, width))
    jitters = (ColorJitter(0.04, 0.04, 0.04, 0.04), ColorJitter(0.005, 5e-4, 5e-4, 5e-4))
    larger = F.interpolate(colours, (round(height * 15 / 14), round(width * 15 / 14)))
    seen = [
        jitters[int(torch.rand(()) < 0.5)](crop(big) if torch.rand(()) < 0.5 else image)
        for image, big in zip(colours.clamp(0, 1), larger.clamp(0, 1), strict=True)
    ]
    images = torch.stack(seen)
    noisy = (torch.rand(len(images), 1, 1, 1) < 0.5).to(images.device)
    noise = torch.randn(images.shape).to(images.device)
    return (images + noisy * 0.1 * images.std((1, 2, 3), keepdim=True) * noise).clamp(0, 1)
