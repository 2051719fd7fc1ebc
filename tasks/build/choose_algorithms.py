"""Bring the choice of `algorithms: auto` up to date with a product's images and measured cells."""

from collections.abc import Iterable
from typing import Any

import yaml

from ad_models.weight_files import DRAWNET, at_hand, lacks_imagenet
from tasks.build.estimate import estimates
from tasks.documents.metrics import METRICS, Metrics
from tasks.spec.algorithms import config_values
from tasks.spec.automatic import LIMITS, TEACHER, choice_of, choose, within
from tasks.spec.parameters import algorithm_parameters
from tasks.spec.read import read_params, read_product
from tasks.workspace.files import write_text
from tasks.workspace.paths import Workspace

PRETRAINED = "pretrained"  # the default of `weights` where an algorithm is nothing without them
IMAGENET = "imagenet"  # weights that are asked for: without them the fit stops
HEAD = "# What `algorithms: auto` means for now. Written by `inspectline sync`.\n"


def refresh(
    workspace: Workspace, product: str, steps: dict[int, list[str]], images: int, **known: Any
) -> bool:
    """Write the choice of a product; whether it changed."""
    folder = workspace.product(product)
    before = choice_of(folder)
    measured = {**before["left_out"], **figures(workspace, product)}
    wanted = backbones(workspace, product, [name for names in steps.values() for name in names])
    # a clone without the weights reads what was chosen where they were
    here = {name for name, (_, found) in wanted.items() if found}
    here |= {*before["algorithms"], *before.get("beyond", [])}
    named = {name: backbone for name, (backbone, _) in wanted.items()}
    untold = without_teacher(workspace, product, steps)
    named |= dict.fromkeys(untold, TEACHER)
    here -= {*untold}
    choice = choose(
        steps, images, measured=measured, backbones=named, here=frozenset(here), **known
    )
    names, budget = list(choice["algorithms"]), budget_of(workspace, product)
    if budget is not None and len(names) > 1:
        estimate = estimates(workspace, product, names, images, before.get("estimate", {}))
        choice = within(choice, budget, estimate)
    if choice == before and (folder / "auto.yaml").is_file():
        return False
    write_text(folder / "auto.yaml", HEAD + yaml.safe_dump(choice, sort_keys=False, width=100))
    return True


def without_teacher(workspace: Workspace, product: str, steps: dict[int, list[str]]) -> list[str]:
    """The algorithms that ask for a file of a teacher, and are told none: to distil one takes far
    longer than all the rest of a fit, and one does for all products."""
    asking = [name for names in steps.values() for name in names if TEACHER in config_values(name)]
    told = {name: algorithm_parameters(workspace.root, product, name) for name in asking}
    return [name for name in asking if not told[name].get(TEACHER)]


def budget_of(workspace: Workspace, product: str) -> float | None:
    """Minutes that the fits of a product may take; None without a bound."""
    asked = read_product(workspace.root, product).budget
    return read_params(workspace.root).line.budget if asked == "line" else asked


def backbones(workspace: Workspace, product: str, names: list[str]) -> dict[str, tuple[str, bool]]:
    """Of the algorithms that are nothing without pretrained weights: the backbone, and whether its
    weights are on this machine. Of those that ask for ImageNet weights, the ones that lack them."""
    found = {}
    for name in names:
        default = config_values(name)
        asked = default | algorithm_parameters(workspace.root, product, name)
        if default.get("weights") == PRETRAINED:
            place = at_hand(asked["backbone"], asked["weights"])
            found[name] = asked["backbone"], place is not None
        elif asked.get("weights") == IMAGENET and _lacks(asked["backbone"]):
            found[name] = asked["backbone"], False
    return found


def in_the_box(workspace: Workspace, product: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Backbones in whose place `weights: auto` puts the one in the box on this machine, each with
    the algorithms that asked for it."""
    found: dict[str, list[str]] = {}
    for name in names:
        asked = config_values(name) | algorithm_parameters(workspace.root, product, name)
        if asked.get("weights") == "auto" and _lacks(asked["backbone"]):
            found.setdefault(asked["backbone"], []).append(name)
    return found


def _lacks(backbone: str) -> bool:
    return backbone != DRAWNET and lacks_imagenet(backbone)


def count(workspace: Workspace, product: str) -> int:
    """Good training images of a product; in a clone that has not pulled them, as last written."""
    from tasks.images.read_image import (
        IMAGE_SUFFIXES,  # here: every command reads specs, few images
    )

    train = workspace.images(product) / "train" / "good"
    if not train.is_dir():
        return int(choice_of(workspace.product(product))["images"])
    return sum(path.suffix.lower() in IMAGE_SUFFIXES for path in train.iterdir())


def figures(workspace: Workspace, product: str) -> dict[str, dict[str, float]]:
    """Figures of the product's evaluated cells, whatever the spec asks for now."""
    found = {}
    for path in (workspace.product(product) / "cells").glob(f"*/evaluation/{METRICS}"):
        metrics = Metrics.read(path)
        known = {key: metrics.figure(key) for key, _ in LIMITS}
        found[path.parent.parent.name] = {k: v for k, v in known.items() if v is not None}
    return found
