"""Where files of weights lie on this machine. Imports neither torch nor timm."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENT = "INSPECTLINE_WEIGHTS"  # a file, or a folder of files named by backbone
MARKS = (".", "-", "_")  # `resnet18.pth`, `resnet18-f37072fd.pth`, `resnet18_mine.pth`
DINOV2 = r"vit_(s|b|l|g)[a-z]*_patch14(_reg4)?_dinov2(\.lvd142m)?"
DINOV3 = r"vit_(s|b|l|h|7b)[a-z]*(_plus)?_patch16_dinov3(_qkvb)?(\.lvd1689m)?"


def file_names(backbone: str) -> tuple[str, ...]:
    """What the name of a weights file begins with: timm's name, the same without its tag, Meta's.
    timm converts files with Meta's keys."""
    names = tuple(dict.fromkeys((backbone, backbone.partition(".")[0])))
    if two := re.fullmatch(DINOV2, backbone):
        return *names, f"dinov2_vit{two[1]}14{two[2] or ''}_pretrain"
    if three := re.fullmatch(DINOV3, backbone):
        plus = "plus" if three[2] else ""
        return *names, f"dinov3_vit{three[1]}{plus}16_pretrain_lvd1689m"
    return names


def file_in(folder: Path, names: Sequence[str]) -> Path | None:
    """The file of a folder whose name begins with one of these and a mark; the first name, then
    the first mark, wins."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for name in names:
        found = [f for f in files if f.name.startswith(tuple(name + mark for mark in MARKS))]
        if found:
            return min(found, key=lambda f: MARKS.index(f.name[len(name)]))
    return None


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
    if given in ("pretrained", "auto"):
        return cached(backbone)
    place = Path(given)
    if place.is_dir():
        return file_in(place, file_names(backbone))
    named = place.name.startswith(tuple(n + mark for n in file_names(backbone) for mark in MARKS))
    return place if place.is_file() and (named or given == weights) else None
