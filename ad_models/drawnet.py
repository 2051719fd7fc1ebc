"""Drawnet: the backbone in the box, a small residual network that has seen drawn pictures alone.

Half a million parameters, 1 MB in half precision, less than a third of ResNet-18's time. Its layers
have the names and strides of a ResNet's: layer1 4, layer2 8, layer3 16 pixels. Its weights lie
beside this file. `python -m ad_models.pretrain` trained them, on pictures that `ad_models.drawn`
draws; so they are under this project's licence and nobody else's. `docs/drawnet.md` tells how.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("drawnet.safetensors")
WIDTHS = (48, 80, 80)  # channels of the layers
DEPTHS = (1, 2, 2)  # residual blocks of each
STEM = 32  # channels at half the size
SOFT = 0.1  # of a mean square; fainter patches stay faint


class Block(nn.Module):
    """Two convolutions and a way around them (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.short: nn.Module = nn.Identity()
        if stride > 1:
            around = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.short = nn.Sequential(around, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out: Tensor = self.relu(y + self.short(x))
        return out


class Even(nn.Module):
    """Make patches of strong and of faint contrast comparable: divide, softly, by the root mean
    square of the channels (after Zhang and Sennrich, NeurIPS 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + SOFT)


class Drawnet(nn.Module):
    """Images (B, 3, H, W), ImageNet-normalised, to the maps of layer3 (B, 80, H / 16, W / 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU(inplace=True)
        before = STEM
        for number, (width, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True), start=1):
            blocks = [Block(before, width, 2), *(Block(width, width, 1) for _ in range(depth - 1))]
            setattr(self, f"layer{number}", nn.Sequential(*blocks, Even()))
            before = width

    def forward(self, images: Tensor) -> Tensor:
        for child in self.children():
            images = child(images)
        return images
