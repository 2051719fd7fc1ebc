"""Pretrained weights of a backbone: from torchvision, from a file, from the box, or random."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from ad_models.backbones import is_tagged, licence
from ad_models.drawnet import WEIGHTS
from ad_models.errors import ConfigError, WeightsError
from ad_models.licences import download_licence, is_own
from ad_models.weight_files import (
    DRAWNET,
    ENVIRONMENT,
    cached,
    file_in,
    file_names,
    hub_unreachable,
    lacks_imagenet,
    unreachable,
)


def load_weights(net: nn.Module, backbone: str, weights: str) -> str:
    """Load weights into `net`; a text that names their source, for the record.

    `weights`: `imagenet` (torchvision's or timm's cache or download), `random`, `auto` (imagenet,
    or random if that is not available at once; but see `in_reach`), or the path of a state dict,
    which may be partial or fp16. INSPECTLINE_WEIGHTS overrides all but `random`. The weights of
    `drawnet` are in the package.
    """
    if weights == "random":
        return "random"
    if backbone == DRAWNET and weights in ("imagenet", "auto"):
        return f"drawn pictures, {_from_file(net, WEIGHTS)}"
    if override := os.environ.get(ENVIRONMENT):
        return _overriding(net, backbone, Path(override))
    if weights not in ("imagenet", "auto"):
        return _from_file(net, _named(Path(weights), backbone))
    if is_tagged(backbone):
        return _from_timm(net, backbone, weights)
    return _from_torchvision(net, backbone, weights)


def _overriding(net: nn.Module, backbone: str, place: Path) -> str:
    """What the environment names; an error names the variable, which a spec does not show."""
    try:
        return _from_file(net, _named(place, backbone))
    except WeightsError as error:
        raise WeightsError(
            f"{ENVIRONMENT} is set, and overrides the weights of every backbone; for {backbone}: "
            f"{error}; unset it, or set it to a folder with a file for each backbone"
        ) from error


def in_reach(config: Any) -> Any:
    """A Config with `weights: auto` as it can be had at once: with `drawnet` in place of a backbone
    whose ImageNet weights are neither here nor to be downloaded, if the algorithm can use it."""
    backbone = getattr(config, "backbone", DRAWNET)
    if getattr(config, "weights", "") != "auto" or backbone == DRAWNET:
        return config
    if not lacks_imagenet(backbone):
        return config
    try:
        return replace(config, backbone=DRAWNET)
    except ConfigError:
        return config


def _named(path: Path, backbone: str) -> Path:
    """The file itself, or the file of `backbone` in a folder."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise WeightsError(f"no weights file at {path}; give a state dict, `imagenet` or `random`")
    found = file_in(path, file_names(backbone))
    if found is None:
        raise WeightsError(f"{path} has no weights for {backbone}; {_remedy(backbone)}")
    return found


def _from_file(net: nn.Module, path: Path) -> str:
    state = read_state(path)
    wanted = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    for name, value in wanted.items():
        if name not in state:
            raise WeightsError(
                f"{path} is of another network: it has no tensor '{name}'{_longer(state, name)}"
            )
        if state[name].shape != value.shape:
            shapes = f"{tuple(state[name].shape)}, not {tuple(value.shape)}"
            raise WeightsError(f"{path} is of another network: '{name}' is {shapes}")
    if more := _deeper(net, state):
        raise WeightsError(f"{path} is of another network: it also has '{more}'")
    net.load_state_dict({name: state[name].float() for name in wanted}, strict=False)
    return fingerprint(path)


def _longer(state: dict[str, Tensor], name: str) -> str:
    """A tensor of that name with something before it, as wrappers of networks write it."""
    longer = next((one for one in state if one.endswith(f".{name}")), "")
    before = longer.removesuffix(name)
    return f", but '{longer}': save it without '{before}'" if longer else ""


def _deeper(net: nn.Module, state: dict[str, Tensor]) -> str:
    """A tensor of a layer of `net` that the layer has not, as of a deeper network; else empty."""
    layers = [
        f"{name}.{inner}." if type(child) is nn.Module else f"{name}."  # a bare one holds layers
        for name, child in net.named_children()
        for inner, _ in (child.named_children() if type(child) is nn.Module else [("", child)])
    ]
    own = net.state_dict()
    inside = (name for name in state if name.startswith(tuple(layers)) and name not in own)
    return next((name for name in inside if not name.endswith("num_batches_tracked")), "")


def fingerprint(path: Path) -> str:
    """A weights file, for the record."""
    return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth or .safetensors file; no code in it is run."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise what their parsers raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if type(error).__name__ == "UnpicklingError":  # its text says how to run code
            reason = "it is damaged, or holds code, never run here; save model.state_dict() alone"
        raise WeightsError(f"{path} is no readable state dict: {reason}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        nested = isinstance(state, dict) and isinstance(state.get("state_dict"), dict)
        found = "; it has one at ['state_dict']: save that alone" if nested else ""
        raise WeightsError(f"{path} is no state dict: it must map names to tensors{found}")
    return state


def _from_torchvision(net: nn.Module, backbone: str, weights: str) -> str:
    """What torchvision downloaded earlier, or downloads now; with `auto` random if it cannot."""
    why = _absent(backbone)
    if why and weights == "auto":
        return "random"
    if why:
        raise WeightsError(
            f"ImageNet weights of {backbone} cannot be had; {_remedy(backbone)} ({why})"
        )
    # V1: the published figures of every algorithm here were made with these
    chosen = get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        state = chosen.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise WeightsError(
            f"ImageNet weights of {backbone} cannot be had; {_remedy(backbone)} ({error})"
        ) from error
    net.load_state_dict({k: v for k, v in state.items() if k in net.state_dict()}, strict=False)
    return f"imagenet {Path(urlparse(chosen.url).path).name}"


def _from_timm(net: nn.Module, backbone: str, weights: str) -> str:
    """What timm downloaded earlier, or downloads now; with `auto` only the first."""
    told = f"{backbone} of timm, licence {licence(backbone)}"
    if (here := cached(backbone)) is not None:
        return f"{told}, {_from_file(net, here)}"
    if weights == "auto":
        return "random"
    wrong = f"weights of {backbone} cannot be had; {_remedy(backbone)}"
    if why := hub_unreachable():
        raise WeightsError(f"{wrong} ({why})")
    import timm

    try:
        state = timm.create_model(backbone, pretrained=True).state_dict()
    except Exception as error:  # of the hub, or of the network behind it
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"{wrong} ({reason})") from error
    net.load_state_dict({k: v for k, v in state.items() if k in net.state_dict()}, strict=False)
    if is_own(licence(backbone)):
        download_licence(timm.get_pretrained_cfg(backbone))
    return told


def _absent(backbone: str) -> str:
    """Why ImageNet weights are not here and cannot be downloaded; empty if they can be had."""
    url = get_model_weights(backbone)["IMAGENET1K_V1"].url
    if (Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name).exists():
        return ""
    return unreachable(url)


def _remedy(backbone: str) -> str:
    if is_tagged(backbone):
        return (
            f"put a file named {backbone}.safetensors into a folder and set {ENVIRONMENT} to it, "
            "or set `weights: random` to go on without"
        )
    url = get_model_weights(backbone)["IMAGENET1K_V1"].url
    return (
        f"download {url} where there is a network and set {ENVIRONMENT} to that file or its "
        "folder, or set `weights: random` to go on without"
    )
