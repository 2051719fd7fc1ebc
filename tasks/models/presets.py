"""The name of the settings with which a model was made."""

from dataclasses import replace
from typing import Any

from ad_models import config
from ad_models.weight_files import DRAWNET
from tasks.spec.schema import PAPER, Algorithms

OWN = "own values"
APART = ("seed", "weights")  # a preset with another seed or source of weights is the same preset


def preset_of(presets: dict[str, Algorithms], algorithm: str, chosen: Any) -> str:
    """The preset whose values a Config has: `paper`, one of params.yaml, or `own values`.

    The values decide, not what the spec says: `quick` with one value changed is not `quick`.
    """
    for name in (PAPER, *presets):
        known = config(algorithm, **(presets.get(name, {}).get(algorithm) or {}))
        apart = {key: getattr(known, key) for key in APART if hasattr(known, key)}
        if apart.get("weights") == "auto" and chosen.backbone == DRAWNET:
            apart["backbone"] = known.backbone  # what `auto` put in its place
        if replace(chosen, **apart) == known:
            return name
    return OWN
