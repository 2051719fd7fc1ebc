"""The size of images and batches of one cell: the product's, or what its algorithm asks for.

A preset, and what stands beside an algorithm, may say `image.size` and `training.batch_size`. Who
is nearest to the cell decides: what stands beside the algorithm in product.yaml; product.yaml's own
section; what stands beside the algorithm in params.yaml; the preset; `defaults` of params.yaml. A
product with tiles keeps its size: only beside the algorithm in product.yaml can another one stand.
"""

from pathlib import Path
from typing import Any, NamedTuple

from tasks.spec.parameters import chosen_for
from tasks.spec.read import check, own_spec, read_params, read_product, spec_file
from tasks.spec.schema import IMAGE, OWN_INPUT, PRESET, TRAINING, Image, Training


class CellInput(NamedTuple):
    """The sections `image` and `training` as they hold for one cell."""

    image: Image
    training: Training


def cell_input(workspace: Path, product: str, algorithm: str) -> CellInput:
    """What an algorithm sees of a product, and how it is trained on it."""
    spec = read_product(workspace, product)
    path = spec_file(workspace, product)
    own, named = own_spec(workspace, product), spec.algorithms.get(algorithm) or {}
    general = _general(workspace, algorithm, named)
    if "algorithms" not in own:  # then they stand in `defaults` of params.yaml
        general, named = general | named, {}
    size, batch = said(named, IMAGE), said(named, TRAINING)
    if size is None and said(own, IMAGE) is None and spec.image.tile is None:
        size = said(general, IMAGE)
    if batch is None and said(own, TRAINING) is None:
        batch = said(general, TRAINING)
    return CellInput(
        _with(spec.image, IMAGE, size, path), _with(spec.training, TRAINING, batch, path)
    )


def shared_batch_size(workspace: Path, algorithm: str) -> int:
    """Images in a batch of what an algorithm learns for all products."""
    params = read_params(workspace)
    asked = said(chosen_for(params, algorithm, {}), TRAINING)
    return params.defaults.training.batch_size if asked is None else int(asked)


def said(values: dict[str, Any], section: str) -> Any:
    """The size, or the batch size, that stands in a section; None without."""
    return (values.get(section) or {}).get(OWN_INPUT[section][1])


def _general(workspace: Path, algorithm: str, named: dict[str, Any]) -> dict[str, Any]:
    """What params.yaml says of an algorithm, from the preset that the product names, if it does."""
    preset = {PRESET: named[PRESET]} if PRESET in named else {}
    return chosen_for(read_params(workspace), algorithm, preset)


def _with(section: Any, name: str, value: Any, path: Path) -> Any:
    """A section with another size or batch size, checked; itself without."""
    if value is None:
        return section
    return check(type(section), section.model_dump() | {OWN_INPUT[name][1]: value}, path)
