"""What a convolution sees beyond the border of an image: zeros, or the image again.

Zeros look like a dark frame: networks that draw images put dots into its corners. `replicate`
repeats the edge, which is the mirror of `maps.smooth` for the single position that these layers
need. A map without change then stays without change up to its border.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.errors import ConfigError

PADDINGS = ("zeros", "replicate")


def check_padding(padding: str) -> None:
    """Raise ConfigError for an unknown padding."""
    if padding not in PADDINGS:
        raise ConfigError(f"padding must be one of {', '.join(PADDINGS)}, got '{padding}'")


def convolution(
    channels: int, out: int, side: int, stride: int, padding: str, bias: bool = True
) -> nn.Conv2d:
    """A convolution of side x side positions that looks one position beyond the border."""
    if padding == "replicate":
        return nn.Conv2d(channels, out, side, stride, 1, bias=bias, padding_mode="replicate")
    return nn.Conv2d(channels, out, side, stride, 1, bias=bias)


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution (4 x 4, stride 2) from (B, C, h, w) to (B, out, 2h, 2w).

    Torch knows only zeros for it. With one position more on each side, of which the result is cut
    off, the border sees what `replicate` puts there.
    """

    def __init__(self, channels: int, out: int, padding: str, bias: bool = True) -> None:
        super().__init__(channels, out, 4, stride=2, padding=1, bias=bias)
        self.repeated = padding == "replicate"

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        if not self.repeated:
            return super().forward(x)
        wider = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(wider, self.weight, self.bias, stride=2, padding=3)
