"""Batch norms of a frozen network, computed into the convolutions before them."""

from collections.abc import Callable, Iterable, MutableMapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

EQUAL = 1e-4  # of the largest output: what folding may change; rounding is a hundredth of it
NAMES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")  # of a batch norm
Pairs = tuple[tuple[str, str], ...]  # names of convolutions, each with its batch norm
Outputs = Callable[[nn.Module, Tensor], list[Tensor]]


@torch.no_grad()
def foldable(net: nn.Module, outputs: Outputs) -> Pairs:
    """Each convolution with a batch norm of the same width right after it in the order of
    registration. None where this order is not that of the network: then `outputs` of random images
    would change. Draws numbers and changes the batch norms of `net`.
    """
    layers = [(name, layer) for name, layer in net.named_modules() if not any(layer.children())]
    pairs = tuple(
        (first, second)
        for (first, conv), (second, norm) in pairwise(layers)
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
        if conv.out_channels == norm.num_features and norm.track_running_stats and norm.affine
    )
    for _, name in pairs:
        norm: Any = net.get_submodule(name)
        for value in (norm.weight, norm.running_var):
            nn.init.uniform_(value, 0.5, 1.5)
        for value in (norm.bias, norm.running_mean):
            nn.init.normal_(value, std=0.1)
    images = torch.randn(2, 3, 64, 64)
    before = outputs(net, images)
    fold(net, pairs)
    after = outputs(net, images)
    same = all(
        float((a - b).abs().max()) <= EQUAL * float(b.abs().max())
        for a, b in zip(after, before, strict=True)
    )
    return pairs if same else ()


@torch.no_grad()
def fold(net: nn.Module, pairs: Pairs) -> None:
    """Give the convolutions the weights of both, and put nothing where the batch norms were."""
    for name, other in pairs:
        conv: Any = net.get_submodule(name)
        norm: Any = net.get_submodule(other)
        state = {key: getattr(norm, key) for key in NAMES}
        conv.weight, conv.bias = map(nn.Parameter, joined(conv.weight, conv.bias, state, norm.eps))
        net.set_submodule(other, nn.Identity())


def fold_state(
    state: MutableMapping[str, Tensor], pairs: Iterable[tuple[str, str, float]], prefix: str
) -> None:
    """The same for a state dict, where it is one of the network with its batch norms. pairs: with
    the epsilon of each batch norm."""
    for first, second, eps in pairs:
        conv, norm = f"{prefix}{first}.", f"{prefix}{second}."
        if f"{norm}running_var" in state:
            own = {key: state.pop(norm + key) for key in NAMES if norm + key in state}
            weight, bias = joined(state[f"{conv}weight"], state.get(f"{conv}bias"), own, eps)
            state[f"{conv}weight"], state[f"{conv}bias"] = weight, bias


def epsilon(net: nn.Module, name: str) -> float:
    """What a batch norm of the network adds to variances."""
    norm: Any = net.get_submodule(name)
    return float(norm.eps)


def joined(
    weight: Tensor, bias: Tensor | None, norm: dict[str, Tensor], eps: float
) -> tuple[Tensor, Tensor]:
    """Weight (O, I, h, w) and bias (O,) of a convolution and the batch norm after it."""
    scale = norm["weight"] * (norm["running_var"] + eps).rsqrt()
    shift = -norm["running_mean"] if bias is None else bias - norm["running_mean"]
    return weight * scale.view(-1, 1, 1, 1), norm["bias"] + shift * scale
