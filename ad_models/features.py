"""Frozen backbones that return a feature pyramid."""

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.backbones import network
from ad_models.errors import ConfigError
from ad_models.folding import Outputs, Pairs, epsilon, fold, fold_state, foldable
from ad_models.seen import Seen
from ad_models.weights import load_weights

PAIRS: dict[tuple[str, ...], Pairs] = {}  # found once in a process
# of VGG, RegNet, MNASNet and similar; of EfficientNet and ConvNeXt of timm
TAKEN_APART = ("features", "trunk_output", "layers", "blocks", "stages")


class Pyramid(nn.Module):
    """Map images (B, 3, H, W) to one feature map (B, C, h, w) per layer, shallow first.

    Runs the backbone's children in order and stops after the last layer asked for. No hooks and no
    tracing: torch.fx patches nn.Module while it traces, so two threads that build a traced
    extractor at the same time disturb each other. `channels`: of each layer. `source`: source of
    the weights. Where features of images are given (`Seen`), they are the output.

    backbone: a name of torchvision, or one of timm with the tag of its weights, such as
    `resnet18.tv_in1k`.

    It is frozen, so batch norms are part of the convolutions, if the network allows it (not with
    `folded` False, for layers that are trained), and channels lie side by side in memory: this
    takes three quarters of the time. State dicts with batch norms are read too.
    """

    def __init__(
        self,
        backbone: str,
        layers: tuple[str, ...],
        weights: str = "imagenet",
        folded: bool = True,
    ) -> None:
        super().__init__()
        children = dict(_children(network(backbone)))
        if missing := set(layers) - set(children):
            raise ConfigError(f"{backbone} has no layer {sorted(missing)}; it has {list(children)}")
        last = max(list(children).index(layer) for layer in layers)
        self.layers = layers
        self.channels_behind = backbone.startswith("swin")  # (B, h, w, C) between its layers
        self.order = list(children)[: last + 1]
        self.net = nn.Module()
        for name in self.order:
            _place(self.net, name, children[name])
        key = backbone, *self.order, "", *layers
        pairs = _pairs_of(self.net, key, self._outputs) if folded else ()
        self.source = load_weights(self.net, backbone, weights)
        self._fold(pairs)
        self.net.to(memory_format=torch.channels_last)
        self.requires_grad_(False)
        self.train(False)
        with torch.no_grad():
            maps = self(torch.zeros(1, 3, 64, 64))
        if any(found.ndim != 4 for found in maps):
            raise ConfigError(f"{backbone} gives no feature maps in {', '.join(layers)}")
        self.channels = [found.shape[1] for found in maps]

    def train(self, mode: bool = True) -> "Pyramid":
        return super().train(False)  # frozen: batch-norm statistics must never move

    def identities(self) -> list[str]:
        """For each layer a text that differs if its features would: a hash of the modules up to it
        and of their weights."""
        digest, found = hashlib.sha256(), []
        for name in self.order:
            module = self.net.get_submodule(name)
            digest.update(repr(module).encode())
            for value in module.state_dict().values():
                digest.update(value.cpu().contiguous().numpy().data)
            if name in self.layers:
                found.append(digest.hexdigest()[:32])
        return found

    def forward(self, images: Tensor | Seen) -> list[Tensor]:
        if isinstance(images, Seen):
            return list(images.maps)
        if not torch.compiler.is_compiling():  # of no use in an exported graph
            images = images.contiguous(memory_format=torch.channels_last)
        return self._outputs(self.net, images)

    def _outputs(self, net: nn.Module, images: Tensor) -> list[Tensor]:
        x, found = images, []
        for name in self.order:
            x = net.get_submodule(name)(x)
            if name in self.layers:
                found.append(x.movedim(-1, 1) if self.channels_behind else x)
        return found

    def _fold(self, pairs: Pairs) -> None:
        """Fold the batch norms, and those of each state dict that is read later."""
        known = [(conv, norm, epsilon(self.net, norm)) for conv, norm in pairs]
        fold(self.net, pairs)

        def before(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: Any) -> None:
            fold_state(state, known, prefix)

        self.net.register_load_state_dict_pre_hook(before)


def _pairs_of(net: nn.Module, key: tuple[str, ...], outputs: Outputs) -> Pairs:
    """What can be folded in a new network; key: whatever decides that. The caller's random numbers
    do not change."""
    if any(value.is_meta for value in net.parameters()):  # shapes without numbers
        return ()
    if key not in PAIRS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            PAIRS[key] = foldable(copy.deepcopy(net).eval(), outputs)
    return PAIRS[key]


def _children(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers in order; pure containers are replaced by their content."""
    for name, child in net.named_children():
        if name in TAKEN_APART:
            yield from ((f"{name}.{inner}", layer) for inner, layer in child.named_children())
        else:
            yield name, child


def _place(net: nn.Module, name: str, layer: nn.Module) -> None:
    """Put `layer` under its dotted name, so that state dicts of the whole backbone fit."""
    owner, _, leaf = name.rpartition(".")
    if owner and not hasattr(net, owner):
        net.add_module(owner, nn.Module())
    (getattr(net, owner) if owner else net).add_module(leaf, layer)


def dims_of(asked: int | None, backbone: str, available: int, published: Mapping[str, int]) -> int:
    """How many of the `available` channels are kept: what was asked for; without, what the paper
    keeps of this backbone; of another one as many as of its largest, if there are so many.

    >>> dims_of(None, "resnet18.a1_in1k", 448, {"wide_resnet50_2": 550, "resnet18": 100})
    100
    >>> dims_of(None, "drawnet", 224, {"wide_resnet50_2": 550, "resnet18": 100})
    224
    """
    if asked is not None and asked > available:
        raise ConfigError(f"dims is {asked}, but {backbone} gives {available}")
    if asked is not None:
        return asked
    return min(published.get(backbone.partition(".")[0], max(published.values())), available)


def stack(pyramid: list[Tensor], mode: str = "nearest") -> Tensor:
    """Resize all maps to the first one's size and join channels: (B, sum C, h, w)."""
    size = pyramid[0].shape[-2:]
    align = {} if mode == "nearest" else {"align_corners": False}
    return torch.cat([F.interpolate(f, size=size, mode=mode, **align) for f in pyramid], dim=1)
