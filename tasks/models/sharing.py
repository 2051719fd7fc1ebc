"""Training images of an algorithm that several products share."""

import hashlib
import json
from pathlib import Path
from typing import Any

from tasks.build.fingerprint import fingerprint
from tasks.decisions.split import held_out
from tasks.images.loader import CACHE, ImageLoader, MixedLoader
from tasks.images.preprocess import Preprocess
from tasks.spec.schema import Image
from tasks.workspace.errors import SpecError
from tasks.workspace.files import read_rows, sha256_of
from tasks.workspace.paths import Workspace


def mixed_loader(
    workspace: Workspace, recipe: dict[str, Any], images: dict[str, Image]
) -> MixedLoader:
    """The good images of the recipe's products, without the images that set thresholds."""
    loaders = []
    for name, image in images.items():
        rows = read_rows(workspace.validation(name) / "train.csv")
        sides = held_out([row["sha256"] for row in rows], recipe["products"][name]["calibration"])
        kept = [row for row, held in zip(rows, sides, strict=True) if not held]
        paths = [workspace.images(name) / row["path"] for row in kept]
        cache = CACHE // len(images)
        loaders.append(
            ImageLoader(paths, Preprocess(image), recipe["batch_size"], True, name, cache)
        )
    return MixedLoader(loaders)


def common_size(algorithm: str, images: dict[str, Image]) -> list[int]:
    """The input height and width of the algorithm; they must be equal for all products."""
    sizes = {name: list(image.seen) for name, image in images.items()}
    first, *others = sizes.items()
    for name, size in others:
        if size != first[1]:
            raise SpecError(
                f"{algorithm} learns from all products at one size, but {first[0]} has {first[1]} "
                f"and {name} {size}; give them one image.size, beside {algorithm} in product.yaml "
                "if it is for that alone, or name the products to learn from in "
                f"algorithms.{algorithm}.train_on of params.yaml"
            )
    return first[1]


def fit_identity(algorithm: str, recipe: dict[str, Any], tables: dict[str, Path]) -> str:
    """The identity of a checkpoint: data, recipe and code."""
    parts = {
        "recipe": recipe,
        "train": {p: sha256_of(t) for p, t in tables.items()},
        "code": [fingerprint("pretrain"), fingerprint(algorithm)],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
