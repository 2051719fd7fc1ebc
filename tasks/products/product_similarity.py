"""Find the products of a workspace whose images are most similar, by features of a backbone."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.features import Pyramid
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import IMAGE_SUFFIXES, read_image
from tasks.spec.schema import Image
from tasks.workspace.paths import Workspace

BACKBONE, LAYERS = "resnet18", ("layer1", "layer2", "layer3")
SAMPLE = 8  # good images of each product
SIDE = 224


class Similarity(NamedTuple):
    product: str
    similarity: float  # cosine, at most 1


def similar_products(
    workspace: Workspace, product: str, weights: str = "imagenet"
) -> list[Similarity]:
    """The other products, the most similar first."""
    others = [name for name in workspace.products if name != product and _sample(workspace, name)]
    if not others:
        return []
    net = Pyramid(BACKBONE, LAYERS, weights)
    portraits = {name: feature_vector(net, _sample(workspace, name)) for name in [product, *others]}
    found = [Similarity(name, float(portraits[product] @ portraits[name])) for name in others]
    return sorted(found, key=lambda one: (-one.similarity, one.product))


@torch.no_grad()
def feature_vector(net: Pyramid, paths: list[Path]) -> Tensor:
    """Unit feature vector of some images: mean and standard deviation of each channel over all
    positions, with equal weight for each layer."""
    preprocess = Preprocess(Image(size=(SIDE, SIDE)))
    images = np.stack([preprocess(read_image(path)) for path in paths])
    layers = net(torch.from_numpy(images))
    parts = [
        F.normalize(torch.cat([f.mean((0, 2, 3)), f.std((2, 3)).mean(0)]), dim=0) for f in layers
    ]
    return F.normalize(torch.cat(parts), dim=0)


def _sample(workspace: Workspace, product: str) -> list[Path]:
    folder = workspace.images(product) / "train" / "good"
    found = folder.iterdir() if folder.is_dir() else ()
    paths = sorted(path for path in found if path.suffix.lower() in IMAGE_SUFFIXES)
    return paths[:: max(1, len(paths) // SAMPLE)][:SAMPLE]
