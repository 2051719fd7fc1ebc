"""Vision transformers of timm with their weights: downloaded, from a file, or random."""

import os
from pathlib import Path
from typing import Any

from ad_models.errors import ConfigError, WeightsError
from ad_models.licences import download_licence, is_own
from ad_models.weight_files import ENVIRONMENT, at_hand, file_names, hub_unreachable
from ad_models.weights import fingerprint, read_state


def load_vit(backbone: str, weights: str) -> tuple[Any, str, str]:
    """The network, a text that names the source of its weights, and the name of their licence.

    `weights`: `pretrained` (a file that timm or torch.hub downloaded earlier, otherwise timm's
    download), `random`, `auto` (pretrained where a file is here, otherwise random), or the path of
    a state dict with timm's keys or Meta's, or of a folder of them. INSPECTLINE_WEIGHTS overrides
    all but `random`.
    """
    import timm

    if not timm.is_model(backbone):
        near = ", ".join(timm.list_models("vit_*dinov2*")[:4])
        raise ConfigError(f"timm has no ViT '{backbone}'; for example {near}")
    about = timm.get_pretrained_cfg(backbone)
    licence = (about and about.license) or "unknown"
    given = weights if weights == "random" else os.environ.get(ENVIRONMENT) or weights
    here = at_hand(backbone, weights)
    if here is None and given not in ("pretrained", "random", "auto"):
        here = _given(Path(given), backbone)
    if here is not None:
        state = read_state(here)
        net = _create(backbone, f"{here} is of another network", state_dict=state)
        return net, f"{backbone} of {fingerprint(here)}, licence {licence}", licence
    if given == "pretrained":
        wrong = f"weights of {backbone} cannot be had; {remedy(backbone)}"
        if why := hub_unreachable():
            raise WeightsError(f"{wrong} ({why})")
        net = _create(backbone, wrong)
        if is_own(licence):
            download_licence(about)
        here = at_hand(backbone, weights)  # what was downloaded
        source = fingerprint(here) if here else "timm"
        return net, f"{backbone} of {source}, licence {licence}", licence
    return _network(backbone, pretrained=False), "random", licence


def remedy(backbone: str) -> str:
    """What a person can do where there are no weights."""
    *_, last = file_names(backbone)
    return (
        f"put a file named {backbone}.safetensors or {last}.pth into a folder and set "
        f"{ENVIRONMENT} to it, or set `weights: random` to go on without"
    )


def _given(path: Path, backbone: str) -> Path:
    """The file itself, or an error that says what is missing."""
    if path.is_file():
        return path
    if path.is_dir():
        raise WeightsError(f"{path} has no weights for {backbone}; {remedy(backbone)}")
    raise WeightsError(f"no weights file at {path}; give a state dict, `pretrained` or `random`")


def _create(backbone: str, wrong: str, **overlay: Any) -> Any:
    """The network with weights; timm changes keys where a file has Meta's."""
    try:
        return _network(backbone, pretrained=True, pretrained_cfg_overlay=overlay)
    except Exception as error:  # of the network, the hub, or a state dict that does not fit
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise WeightsError(f"{wrong} ({reason})") from error


def _network(backbone: str, **more: Any) -> Any:
    import timm

    try:
        net = timm.create_model(backbone, dynamic_img_size=False, **more)
    except TypeError as error:
        raise ConfigError(f"{backbone} is no plain vision transformer: {error}") from error
    if not all(hasattr(net, name) for name in ("blocks", "forward_intermediates", "patch_embed")):
        raise ConfigError(f"{backbone} is no plain vision transformer")
    return net
