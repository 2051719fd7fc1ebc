"""Normalising flows on feature maps: exact densities by change of variables.

A flow maps features x to z of the same shape, and log p(x) = log N(z; 0, I) + log |det dz/dx|.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from FrEIA.framework import SequenceINN
from FrEIA.modules import AllInOneBlock
from torch import Tensor, nn

Subnet = Callable[[int, int], nn.Module]  # channels in and out of a coupling's network


class Step(AllInOneBlock):
    """FrEIA's affine coupling, global affine and fixed permutation, without its C x C matrices.

    FrEIA permutes by a dense 1x1 convolution, drawn from numpy's global generator. An index does
    the same faster, and torch's generator makes one seed one model.
    """

    def __init__(self, dims_in: list, dims_c: list | tuple = (), **parameters: object) -> None:
        state = np.random.get_state()
        super().__init__(dims_in, dims_c, **parameters)
        np.random.set_state(state)
        del self.w_perm, self.w_perm_inv
        self.order: Tensor
        self.register_buffer("order", torch.randperm(self.in_channels))

    def _permute(self, x: Tensor, rev: bool = False) -> tuple[Tensor, Tensor]:
        scale = self.global_scale_activation(self.global_scale)
        if rev:
            x = (x[:, self.order.argsort()] - self.global_offset) / scale
        else:
            x = (x * scale + self.global_offset)[:, self.order]
        return x, scale.log().sum()


def chain(
    channels: int, subnets: Sequence[Subnet], clamp: float, condition: int = 0
) -> SequenceINN:
    """A flow on maps (B, channels, h, w) of any size: `flow(x)` gives z and log-determinants (B,).

    One step for each of `subnets`; `clamp` bounds the logarithm of a coupling's scale. With
    `condition` channels, call `flow(x, [c])` with c (B, condition, h, w).
    """
    flow = SequenceINN(channels, 1, 1)  # sides are taken from the input
    given = {"cond": 0, "cond_shape": (condition, 1, 1)} if condition else {}
    for subnet in subnets:
        flow.append(Step, subnet_constructor=subnet, affine_clamping=clamp, **given)
    return flow


def energy(z: Tensor) -> Tensor:
    """-log N(z; 0, I) (B,) of z (B, C, h, w), constant left out."""
    return 0.5 * z.square().sum(dim=(1, 2, 3))


def surprise(z: Tensor) -> Tensor:
    """The same of each position (B, 1, h, w), over C: exp(-surprise) does not underflow."""
    return 0.5 * z.square().mean(dim=1, keepdim=True)
