"""The licence of a model's backbone, where it is one that has to go with the weights."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ad_models.licences import is_own, licence_in, licence_texts, weights_folder
from ad_models.weight_files import ENVIRONMENT
from tasks.workspace.errors import DataError
from tasks.workspace.paths import CARD

MARK = "weights-"  # before the names of its files: `weights-LICENSE.md`


def keep_licence(
    folder: Path, source: str | None, parameters: Mapping[str, Any], other: Path | None = None
) -> None:
    """Copy the texts of a licence of its own into a model's folder: from the shared model `other`,
    or else from beside the weights. Without any a fit goes on.

    source: of the weights, as the model says it; parameters: of the algorithm.
    """
    if not is_own(licence_in(source)) or _kept(folder):
        return
    texts = _kept(other) if other else []
    place = _place(parameters)
    for path in texts or (licence_texts(place) if place else []):
        shutil.copyfile(path, folder / f"{MARK}{path.name.removeprefix(MARK)}")


def require_licence(folder: Path) -> None:
    """Have the texts in the folder of a model that is to be published; DataError if they are not on
    this machine either."""
    card = json.loads((folder / CARD).read_text())
    source, parameters = card.get("backbone_weights"), card["parameters"]
    keep_licence(folder, source, parameters)
    if (name := licence_in(source)) and is_own(name) and not _kept(folder):
        place = _place(parameters)
        raise DataError(
            f"this model holds weights under the licence '{name}', whose text has to go with them, "
            f"and {f'{place} has no file LICENSE*' if place else 'it is not on this machine'}; get "
            "LICENSE.md from where the weights are from, put it into "
            f"{place or f'a folder that {ENVIRONMENT} names'}, and run again"
        )


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"{MARK}*"))


def _place(parameters: Mapping[str, Any]) -> Path | None:
    return weights_folder(*(str(parameters.get(name, "")) for name in ("backbone", "weights")))
