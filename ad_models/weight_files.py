"""Where files of weights lie on this machine, and whether others can be had.

Imports neither torch nor timm.
"""

import os
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

ENVIRONMENT = "INSPECTLINE_WEIGHTS"  # a file, or a folder of files named by backbone
MARKS = (".", "-", "_")  # `resnet18.pth`, `resnet18-f37072fd.pth`, `resnet18_mine.pth`
TORCHVISION = "tv_in1k"  # the tag of timm for torchvision's weights
HUB = "https://huggingface.co"  # where timm's weights are, unless HF_ENDPOINT names another place
DRAWNET = "drawnet"  # the backbone whose weights are in the package
TORCHVISION_HOST = "https://download.pytorch.org"  # where torchvision's weights are
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")  # the hub's own words for: do not ask
KNOWN = 60.0  # seconds for which one look at a host serves
PATIENCE = 3.0  # seconds in which a host must answer before a download begins
DINOV2 = r"vit_(s|b|l|g)[a-z]*_patch14(_reg4)?_dinov2(\.lvd142m)?"
DINOV3 = r"vit_(s|b|l|h|7b)[a-z]*(_plus)?_patch16_dinov3(_qkvb)?(\.lvd1689m)?"


def file_names(backbone: str) -> tuple[str, ...]:
    """What the name of a weights file begins with: the backbone's name; without its tag where that
    says all, as torchvision's weights and those of DINO do; Meta's, whose keys timm converts."""
    plain, _, tag = backbone.partition(".")
    alone = tag == TORCHVISION or any(re.fullmatch(one, backbone) for one in (DINOV2, DINOV3))
    names = tuple(dict.fromkeys((backbone, plain))) if alone else (backbone,)
    if two := re.fullmatch(DINOV2, backbone):
        return *names, f"dinov2_vit{two[1]}14{two[2] or ''}_pretrain"
    if three := re.fullmatch(DINOV3, backbone):
        plus = "plus" if three[2] else ""
        return *names, f"dinov3_vit{three[1]}{plus}16_pretrain_lvd1689m"
    return names


def file_in(folder: Path, names: Sequence[str]) -> Path | None:
    """The file of a folder whose name is one of these, or begins with one and a mark; the first
    name, then the first mark, wins."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for name in names:
        if found := [f for f in files if _is_of(f, name)]:
            return min(found, key=lambda f: MARKS.index(f.name[len(name)]))
    return None


def _is_of(file: Path, name: str) -> bool:
    """Whether a file is named by `name`. Behind a dot only the kind of file may stand: another word
    there is a tag of timm, of other weights."""
    if not file.name.startswith(tuple(name + mark for mark in MARKS)):
        return False
    return file.name[len(name)] != "." or file.stem == name


def cached(backbone: str) -> Path | None:
    """The file that timm or torch.hub downloaded earlier; None if there is none."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    hub = Path(os.environ.get("HF_HOME") or home / "huggingface") / "hub"
    hub = Path(os.environ.get("HF_HUB_CACHE") or hub)
    for name in ("model.safetensors", "pytorch_model.bin"):
        for tag in ("", ".*"):
            if found := sorted(hub.glob(f"models--timm--{backbone}{tag}/snapshots/*/{name}")):
                return found[0]
    torch_home = Path(os.environ.get("TORCH_HOME") or home / "torch")
    checkpoints = torch_home / "hub" / "checkpoints"
    return file_in(checkpoints, file_names(backbone)) if checkpoints.is_dir() else None


def at_hand(backbone: str, weights: str = "pretrained") -> Path | None:
    """The file that a fit with these `weights` would read without a network; None: there is none.

    The environment comes first, then a path in `weights`, then the caches.
    """
    if weights == "random":
        return None
    given = os.environ.get(ENVIRONMENT) or weights
    if given in ("pretrained", "imagenet", "auto"):
        return cached(backbone)
    place = Path(given)
    if place.is_dir():
        return file_in(place, file_names(backbone))
    named = place.name.startswith(tuple(n + mark for n in file_names(backbone) for mark in MARKS))
    return place if place.is_file() and (named or given == weights) else None


def unreachable(url: str, variables: Sequence[str] = ()) -> str:
    """Why nothing can be downloaded from there, after at most PATIENCE seconds; empty where its
    host, or the proxy that stands for it in the environment, takes a connection.

    variables: those that forbid it. Without this look the hub is asked again for a minute.
    """
    for name in variables:
        if os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            return f"{name} is set, so nothing is downloaded"
    asked = urlsplit(url)
    host = asked.hostname or ""
    proxy = urllib.request.getproxies().get(asked.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        asked = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    place = asked.hostname or "", asked.port or (443 if asked.scheme == "https" else 80)
    found: list[str] = []
    look = threading.Thread(target=lambda: found.append(_refusal(place)), daemon=True)
    look.start()  # a look-up of a name takes no timeout of its own
    look.join(PATIENCE)
    why = found[0] if found else f"no answer in {PATIENCE:g} s"
    return f"{place[0]}: {why}" if why else ""


def lacks_imagenet(backbone: str) -> bool:
    """Whether ImageNet weights of a network of torchvision are neither here nor to be downloaded.
    Names of timm, with their tag, count only if they were downloaded."""
    if os.environ.get(ENVIRONMENT):  # a person named a place; a fit says what is wrong with it
        return False
    if cached(backbone):
        return False
    return "." in backbone or bool(_lately(TORCHVISION_HOST, int(time.monotonic() // KNOWN)))


@lru_cache(maxsize=4)
def _lately(url: str, period: int) -> str:
    """`unreachable`, asked once in a period: many products and algorithms want to know it."""
    return unreachable(url)


def hub_unreachable() -> str:
    """The same of the hub that timm downloads from."""
    return unreachable(os.environ.get("HF_ENDPOINT") or HUB, OFFLINE)


def _refusal(place: tuple[str, int]) -> str:
    try:
        socket.create_connection(place, PATIENCE).close()
    except (OSError, ValueError) as error:  # ValueError: of a name that is none
        return getattr(error, "strerror", "") or str(error) or type(error).__name__
    return ""
