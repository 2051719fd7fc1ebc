"""Reverse distillation: a student reconstructs the teacher's features from a narrow code.

Deng and Li, CVPR 2022, https://arxiv.org/abs/2201.10703

Idea (section 3): a frozen teacher encodes the image; a bottleneck fuses its three scales into one
small code; a student decodes the scales again, deepest first. Trained on normal images only, it
cannot reconstruct anomalies. The cosine distance between teacher and student at each position is
the anomaly map.

Differs from the paper: nothing known. The loss compares whole feature maps as single
vectors, as the official code does; the text describes one cosine per position
(`loss: position`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid
from ad_models.maps import smooth
from ad_models.run import Run


@dataclass(frozen=True)
class ReverseDistillationConfig:
    backbone: str = "wide_resnet50_2"  # section 4.1; any ResNet
    epochs: int = 200  # section 4.1
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 0.005  # of Adam; section 4.1
    loss: str = "flattened"  # or "position"; official code, equation 3
    sigma: float = 4.0  # blur of the final map, pixels; section 4.1
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if self.loss not in ("flattened", "position"):
            raise ConfigError(f"loss must be flattened or position, got '{self.loss}'")
        if not self.backbone.startswith(("resnet", "wide_resnet", "resnext")):
            raise ConfigError(f"reverse distillation mirrors a ResNet, got '{self.backbone}'")


class Up(nn.Module):
    """A reversed residual block: the 3x3 convolution doubles the map instead of halving it (section
    3.2)."""

    def __init__(self, channels: int, out: int, width: int, up: bool) -> None:
        super().__init__()
        wide = width != out  # a bottleneck block: 1x1, 3x3, 1x1
        self.shortcut = _joined(_resized(channels, out, up)) if up else nn.Identity()
        if wide:
            middle = [nn.Conv2d(channels, width, 1, bias=False), _resized(width, width, up)]
            last = nn.Conv2d(width, out, 1, bias=False)
        else:
            middle = [_resized(channels, width, up)]
            last = nn.Conv2d(width, out, 3, padding=1, bias=False)
        steps = [step for layer in middle for step in (*_joined(layer), nn.ReLU())]
        self.body = nn.Sequential(*steps, *_joined(last))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def _resized(channels: int, out: int, up: bool) -> nn.Conv2d | nn.ConvTranspose2d:
    if up:
        return nn.ConvTranspose2d(channels, out, 2, stride=2, bias=False)
    return nn.Conv2d(channels, out, 3, padding=1, bias=False)


def _joined(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """A convolution and its batch norm."""
    return nn.Sequential(layer, nn.BatchNorm2d(layer.out_channels))


def _halve(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
    )


class Bottleneck(nn.Module):
    """Fuse three scales and encode them once more: multi-scale fusion and one-class embedding."""

    def __init__(self, channels: list[int], deepest: nn.Sequential) -> None:
        super().__init__()
        shallow, middle, deep = channels
        self.first = nn.Sequential(_halve(shallow, middle), _halve(middle, deep))
        self.second = _halve(middle, deep)
        # The embedding is the backbone's own last stage, untrained and fed three times the input
        block: Any = deepest[0]
        block.conv1 = _widened(block.conv1, 3)
        block.downsample[0] = _widened(block.downsample[0], 3)
        self.embed = deepest

    def forward(self, features: list[Tensor]) -> Tensor:
        shallow, middle, deep = features
        return self.embed(torch.cat([self.first(shallow), self.second(middle), deep], dim=1))


def _widened(layer: nn.Conv2d, times: int) -> nn.Conv2d:
    """The same convolution, untrained, for `times` as many channels."""
    size, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    return nn.Conv2d(
        layer.in_channels * times, layer.out_channels, size, stride, padding, bias=False
    )


class Student(nn.Module):
    """From the code to three maps with the teacher's channels, shallow first (section 3.2)."""

    def __init__(
        self, channels: list[int], code: int, blocks: list[int], widths: list[int]
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        for out, count, width in zip(reversed(channels), blocks, reversed(widths), strict=True):
            ups = [Up(code, out, width, up=True)]
            self.stages.append(
                nn.Sequential(*ups, *(Up(out, out, width, False) for _ in range(count - 1)))
            )
            code = out

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found[::-1]


class ReverseDistillation(Detector):
    Config = ReverseDistillationConfig
    reads_features = "teacher"

    def __init__(self, config: ReverseDistillationConfig) -> None:
        super().__init__(config)
        layers = ("layer1", "layer2", "layer3")
        self.teacher = Pyramid(config.backbone, layers, config.weights)
        net = get_model(config.backbone, weights=None)  # only its shape is taken
        blocks = [len(net.get_submodule(name)) for name in layers]  # the encoder's order: official
        widths = [net.get_submodule(name)[0].conv1.out_channels for name in layers]
        widths = widths if hasattr(net.layer1[0], "conv3") else self.teacher.channels
        code = net.layer4[-1].conv1.in_channels
        self.bottleneck = Bottleneck(self.teacher.channels, net.layer4)
        self.student = Student(self.teacher.channels, code, blocks, widths)
        for module in (*self.bottleneck.modules(), *self.student.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def compare(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Teacher's and student's maps [(B, C, h, w)] of three scales."""
        if images.shape[-2] % 32 or images.shape[-1] % 32:
            raise InputError(f"image sides must be multiples of 32, got {tuple(images.shape[-2:])}")
        features = self.teacher(images)
        return features, self.student(self.bottleneck(features))

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        changing = (self.bottleneck, self.student)
        parameters = [p for module in changing for p in module.parameters()]
        optimiser = torch.optim.Adam(
            parameters, self.config.lr, betas=(0.5, 0.999)
        )  # official code
        for _ in run.epochs(self.config.epochs, *changing, optimiser):
            for batch in run.steps(epoch(loader, self.config.batches)):
                teacher, student = run.mixed(self.compare, batch.image)
                loss = torch.stack(
                    [self.loss(t, s) for t, s in zip(teacher, student, strict=True)]
                ).sum()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)

    def loss(self, teacher: Tensor, student: Tensor) -> Tensor:
        """One minus the cosine of maps (B, C, h, w): of whole maps, or of each position."""
        if self.config.loss == "flattened":
            teacher, student = teacher.flatten(1), student.flatten(1)
        return (1 - F.cosine_similarity(teacher, student, dim=1)).mean()  # equation 3

    def forward(self, images: Tensor) -> Prediction:
        size = images.shape[-2:]
        maps = torch.zeros_like(images[:, :1])
        for teacher, student in zip(*self.compare(images), strict=True):
            distance = 1 - F.cosine_similarity(teacher, student, dim=1)  # equation 1
            # align_corners: official code
            maps = maps + F.interpolate(
                distance.unsqueeze(1), size=size, mode="bilinear", align_corners=True
            )
        maps = smooth(maps, self.config.sigma)  # equation 4
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)
