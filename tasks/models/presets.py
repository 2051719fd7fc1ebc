"""The words for the settings with which a model was made."""

from dataclasses import asdict, replace
from typing import Any

from ad_models import config
from ad_models.errors import ConfigError
from ad_models.weight_files import DRAWNET
from tasks.spec.cell_input import said
from tasks.spec.read import default_params
from tasks.spec.schema import IMAGE, NO_PARAMETERS, PAPER, TRAINING, Algorithms, Image, Training

APART = ("seed", "weights")  # a preset with another seed or source of weights is the same preset
FEW = 2  # changed values that are told one by one


def made_with(
    presets: dict[str, Algorithms],
    algorithm: str,
    chosen: Any,
    image: Image,
    training: Training,
    named: str = PAPER,
) -> str:
    """The preset whose values a Config has, `paper` or one of params.yaml, or the nearest one and
    what differs from it, the size of images and batches too: "quick, lr 0.002", or "paper, at 256
    px (paper: 512 px), batch 16 (paper: 8)".

    The values decide, not what the spec says: `quick` with one value changed is not `quick`. What
    the spec has `named` only decides between two that are equally near.
    """
    found = [
        (name, _changed(presets, name, algorithm, chosen), _seen(asked, name, image, training))
        for name in (PAPER, *presets)
        if name == PAPER or algorithm in presets[name]
        for asked in [_asked(presets, name, algorithm)]
    ]
    nearest = min(found, key=lambda one: (len(one[1]), one[0] != named, len(one[2])))
    name, changed, seen = nearest
    if len(changed) > FEW:
        return ", ".join([f"{name} with {len(changed)} values changed", *seen])
    return ", ".join([name, *(f"{key} {_short(value)}" for key, value in changed.items()), *seen])


def _seen(asked: dict[str, Any], name: str, image: Image, training: Training) -> list[str]:
    """What of an input is not what a preset asks for, in words; it may ask for nothing."""
    size, batch = said(asked, IMAGE), said(asked, TRAINING)
    wanted = image if size is None else Image(size=size)
    found = []
    if (image.size, image.tile) != (wanted.size, wanted.tile):
        found.append(f"at {pixels(image)} ({name}: {pixels(wanted)})")
    if batch is not None and int(batch) != training.batch_size:  # as YAML may hold it: "16"
        found.append(f"batch {training.batch_size} ({name}: {batch})")
    return found


def pixels(image: Image) -> str:
    """The size of what an algorithm sees, as text."""
    height, width = image.size
    size = f"{height} px" if height == width else f"{height} x {width} px"
    return f"{size} in tiles of {image.tile} px" if image.tile else size


def _asked(presets: dict[str, Algorithms], name: str, algorithm: str) -> dict[str, Any]:
    """All that a preset says of an algorithm. What a workspace without the preset `paper` calls
    the paper's was published at the sizes that the one of a new workspace names."""
    known = presets if name in presets else default_params().presets
    return known.get(name, {}).get(algorithm) or {}


def _changed(
    presets: dict[str, Algorithms], name: str, algorithm: str, chosen: Any
) -> dict[str, Any]:
    """The values of a Config that are not those of a preset."""
    asked = presets.get(name, {}).get(algorithm) or {}
    try:
        known = config(algorithm, **{k: v for k, v in asked.items() if k not in NO_PARAMETERS})
    except ConfigError:  # a preset of somebody's that nothing was made with
        return asdict(chosen)
    apart = {key: getattr(known, key) for key in APART if hasattr(known, key)}
    if apart.get("weights") == "auto" and chosen.backbone == DRAWNET:
        apart["backbone"] = known.backbone  # what `auto` put in its place
    values, others = asdict(replace(chosen, **apart)), asdict(known)
    return {key: value for key, value in values.items() if value != others[key]}


def _short(value: Any) -> str:
    listed = isinstance(value, (list, tuple))
    return "[" + ", ".join(map(str, value)) + "]" if listed else str(value)
