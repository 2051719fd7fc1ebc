"""Parts of a DCGAN: convolutions that halve a square image to a code, and double it back.

Radford et al., ICLR 2016, https://arxiv.org/abs/1511.06434, section 3. The gradient penalty is of
Gulrajani et al., NeurIPS 2017, https://arxiv.org/abs/1704.00028.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ad_models.errors import ConfigError


def widths(size: int, base: int, widest: int = 512) -> list[int]:
    """Channels at `size` / 2, / 4, ... down to 4 pixels: `base`, doubled each time up to `widest`.

    ConfigError if `size` is not a power of two of at least 16.
    """
    if size < 16 or size & (size - 1):
        raise ConfigError(f"size must be a power of two and at least 16, got {size}")
    return [min(base * 2**i, widest) for i in range(size.bit_length() - 3)]


class Encoder(nn.Module):
    """Map images (B, 3, size, size) to codes (B, out). With one output it is a discriminator."""

    def __init__(self, size: int, base: int, out: int) -> None:
        super().__init__()
        channels = widths(size, base)
        layers: list[nn.Module] = [nn.Conv2d(3, base, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
        for before, after in itertools.pairwise(channels):
            layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Conv2d(channels[-1], out, 4, bias=False)
        self.apply(initialise)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.trunk(images)).flatten(1)


class Decoder(nn.Module):
    """Map codes (B, code) to images (B, 3, size, size) in -1..1."""

    def __init__(self, size: int, base: int, code: int) -> None:
        super().__init__()
        channels = widths(size, base)[::-1]
        layers = [nn.ConvTranspose2d(code, channels[0], 4, bias=False), nn.BatchNorm2d(channels[0])]
        layers += [nn.ReLU()]
        for before, after in itertools.pairwise(channels):
            layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        layers += [nn.ConvTranspose2d(base, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, codes: Tensor) -> Tensor:
        return self.body(codes[:, :, None, None])


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), those of batch norms from N(1, 0.02); DCGAN section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        module.reset_running_stats()
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """Mean of (|gradient of the critic| - 1)^2 at random points between pairs of images.

    One random share a pair. A critic with batch norm has no gradient of its own at each image,
    so it must not have any (WGAN-GP, section 4).
    """
    share = torch.rand(len(real), 1, 1, 1).to(real.device)
    between = torch.lerp(real.detach(), fake.detach(), share).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()
