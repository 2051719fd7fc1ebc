"""The parameters of an algorithm for one product: preset, params.yaml and product.yaml resolved."""

from pathlib import Path
from typing import Any

from tasks.spec.algorithms import per_product
from tasks.spec.automatic import choice_of, teachers
from tasks.spec.read import default_params, is_automatic, read_params, read_product
from tasks.spec.schema import IMAGE, NO_PARAMETERS, PAPER, PRESET, TRAIN_ON, Params
from tasks.workspace.errors import SpecError, hint


def algorithm_parameters(workspace: Path, product: str, algorithm: str) -> dict[str, Any]:
    """The algorithm's parameters: the product's over those of params.yaml over the preset's, or
    over the preset that it names itself."""
    named = read_product(workspace, product).algorithms.get(algorithm) or {}
    own = per_product(algorithm)
    if own and (others := sorted(set(named) - {*own, IMAGE})):
        raise SpecError(
            f"{product} sets '{others[0]}' of {algorithm}, but all products share what it learns: "
            f"only {', '.join(own)} and image.size can be a product's own; the rest stands in "
            "params.yaml"
        )
    chosen = chosen_for(read_params(workspace), algorithm, named, f"{product}: ")
    return {key: value for key, value in chosen.items() if key not in NO_PARAMETERS}


def shared_parameters(workspace: Path, algorithm: str) -> dict[str, Any]:
    """Parameters with which a shared algorithm learns: those that no product can set."""
    chosen = chosen_for(read_params(workspace), algorithm, {})
    apart = (*per_product(algorithm), *NO_PARAMETERS)
    return {key: value for key, value in chosen.items() if key not in apart}


def trained_on(workspace: Path, algorithm: str, products: list[str]) -> list[str]:
    """Those of the workspace's products that a shared algorithm learns from, sorted."""
    named = chosen_for(read_params(workspace), algorithm, {}).get(TRAIN_ON)
    if named is None:
        automatic = [product for product in products if is_automatic(workspace, product)]
        images = {p: int(choice_of(workspace / "data" / p)["images"]) for p in automatic}
        named = teachers(images, products)
    if not isinstance(named, list) or not named:
        raise SpecError(f"{algorithm}.{TRAIN_ON} must list products, got {named!r}")
    for name in named:
        if name not in products:
            raise SpecError(
                f"{algorithm}.{TRAIN_ON}: no product '{name}'; {hint(str(name), products)}"
            )
    return sorted(set(named))


def preset_named(workspace: Path, product: str, algorithm: str) -> str:
    """The preset from which the parameters of an algorithm start."""
    named = read_product(workspace, product).algorithms.get(algorithm) or {}
    return str((_general(read_params(workspace), algorithm, named) | named).get(PRESET, PAPER))


def chosen_for(
    params: Params, algorithm: str, named: dict[str, Any], where: str = ""
) -> dict[str, Any]:
    """What is `named` beside an algorithm, over what params.yaml says of it, over its preset.

    Where `named` names a preset itself, it starts from there: params.yaml has spoken for the preset
    it names. where: begins a message.
    """
    chosen = _general(params, algorithm, named) | named
    preset = chosen.pop(PRESET, PAPER)
    has = sorted({PAPER, *(name for name, of in params.presets.items() if algorithm in of)})
    if preset not in [PAPER, *params.presets]:  # any value may stand there
        raise SpecError(f"{where}{algorithm} asks for the preset '{preset}'{_remedy(preset, has)}")
    if preset not in has:
        raise SpecError(f"{where}{algorithm} has no preset '{preset}'; it has {', '.join(has)}")
    return (params.presets.get(preset, {}).get(algorithm) or {}) | chosen


def _remedy(preset: Any, known: list[str]) -> str:
    """How to go on without a preset: one that new workspaces have, an older one may lack."""
    if not isinstance(preset, str) or preset not in default_params().presets:
        return f"; {hint(str(preset), known)}"
    return (
        ", which params.yaml of this workspace does not have; copy "
        f"presets.{preset} from that of a new one (`inspectline init FOLDER`)"
    )


def _general(params: Params, algorithm: str, named: dict[str, Any]) -> dict[str, Any]:
    return {} if PRESET in named else params.algorithms.get(algorithm) or {}
