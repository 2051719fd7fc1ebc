"""Licences of pretrained weights: which have to go with a model, and where their texts lie.

DINOv3's is of this kind: who passes on its weights, or what was made of them, must add a copy of
the licence. None is part of this package. Imports neither torch nor timm.
"""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ad_models.weight_files import ENVIRONMENT, at_hand

# Their texts are known everywhere, so their names say enough. What timm does not know, it calls
# `unknown`: there is nothing to look for
STANDARD = ("apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0", "unknown")
TEXT = "LICENSE.md"  # its name in a repository of timm's hub


def licence_in(source: str | None) -> str:
    """The licence that a text about the source of weights names; empty where it names none."""
    named = re.findall(r", licence ([^\s,]+)", source or "")
    return named[-1] if named else ""


def is_own(licence: str) -> bool:
    """Whether its text has to go with the weights, because it is nowhere else."""
    return licence not in ("", *STANDARD)


def download_licence(about: Any) -> None:
    """Put the text of a licence beside weights that timm downloaded; about: timm's facts of them.
    Where it cannot be had, a fit goes on: the weights are there, and publishing says what is
    missing."""
    import huggingface_hub

    with suppress(Exception):  # whatever the hub raises
        huggingface_hub.hf_hub_download(about.hf_hub_id, TEXT)


def weights_folder(backbone: str, weights: str) -> Path | None:
    """Where the text of a licence is looked for: beside the weights that are at hand, otherwise the
    folder that the environment names; None without either."""
    if backbone and weights and (file := at_hand(backbone, weights)):
        return file.parent
    given = os.environ.get(ENVIRONMENT)
    return Path(given) if given and Path(given).is_dir() else None


def licence_texts(folder: Path) -> list[Path]:
    """Files LICENSE* of a folder that hold something."""
    return sorted(path for path in folder.iterdir() if _is_licence(path))


def _is_licence(path: Path) -> bool:
    named = path.name.upper().startswith(("LICENSE", "LICENCE"))
    return named and path.is_file() and path.stat().st_size > 0
