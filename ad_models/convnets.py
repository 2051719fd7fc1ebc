"""The convolutional encoder and decoder of Bergmann et al. 2018, table 1, for sides 32 to 1024.

Each halving of 32 channels at the outside is one more doubling of the side they are made for: the
paper's 128 pixels have two.
"""

import math

import torch
from torch import nn

from ad_models.borders import Doubling, convolution

SLOPE = 0.2  # of the leaky ReLU; table 1


def encoder(side: int, code: int, width: int = 32, padding: str = "zeros") -> nn.Sequential:
    """Images (B, 3, side, side) to codes (B, code, 1, 1). `padding`: see `borders`."""
    layers: list[nn.Module] = []
    channels = 3
    for out, kernel, stride in _plan(side, width):
        layer = convolution(channels, out, kernel, stride, padding)
        layers += [layer, nn.LeakyReLU(SLOPE)]
        channels = out
    return _started(nn.Sequential(*layers, nn.Conv2d(channels, code, 8)))


def decoder(side: int, code: int, width: int = 32, padding: str = "zeros") -> nn.Sequential:
    """Codes (B, code, 1, 1) to images (B, 3, side, side), the encoder reversed."""
    plan = _plan(side, width)
    outs = [3, *(out for out, _, _ in plan)]
    layers: list[nn.Module] = [nn.ConvTranspose2d(code, outs[-1], 8)]
    for out, (channels, kernel, stride) in zip(outs[-2::-1], plan[::-1], strict=True):
        layers.append(nn.LeakyReLU(SLOPE))
        if stride == 2:
            layers.append(Doubling(channels, out, padding))
        else:
            layers.append(convolution(channels, out, kernel, stride, padding))
    return _started(nn.Sequential(*layers))


def _plan(side: int, width: int) -> list[tuple[int, int, int]]:
    """Channels, kernel and stride of each layer but the last, which takes 8 x 8 positions to 1."""
    outer = [(width, 4, 2)] * (int(math.log2(side)) - 5)
    inner = [(1, 3, 1), (2, 4, 2), (2, 3, 1), (4, 4, 2), (2, 3, 1), (1, 3, 1)]
    return outer + [(times * width, kernel, stride) for times, kernel, stride in inner]


def _started(net: nn.Sequential) -> nn.Sequential:
    """He et al. 2015: with torch's default initialisation the signal vanishes over 18 layers."""
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            spread = layer.kernel_size[0]  # inputs per output along a side
            if isinstance(layer, nn.ConvTranspose2d):  # the code is a single position
                spread = 1 if layer.stride[0] == 1 else spread // layer.stride[0]
            deviation = math.sqrt(2 / (1 + SLOPE**2) / (layer.in_channels * spread**2))
            nn.init.normal_(layer.weight, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return net.to(memory_format=torch.channels_last)  # a sixth faster on a CPU
