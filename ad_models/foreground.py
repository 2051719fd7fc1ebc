"""What of an image is the part and what is background, by the tokens of a ViT.

AnomalyDINO: the first principal component of the tokens of one image tells them apart.
Plain tensor code, so that a graph can hold it: the component by power iteration, morphology by
maxima.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LIMIT = 10.0  # of the component, beyond which a token is foreground; official code, for DINOv2
BORDER, SHARE = 0.2, 0.35  # of each side that is not the middle; of the middle, at most: official
STEPS = 20  # of the power iteration


def foreground(maps: Tensor) -> Tensor:
    """1.0 for tokens of the foreground, else 0.0: (B, h, w), from tokens (B, D, h, w) after the
    final norm.

    Which end of the component is the part: the one that fills more than a third of the middle.
    Where neither end has a token, all are foreground (ours). Grown by one token, then closed.
    """
    component = first_component(maps.flatten(2).mT).unflatten(1, maps.shape[-2:])
    above, below = (component > LIMIT).float(), (component < -LIMIT).float()
    top, left = (int(BORDER * side) for side in maps.shape[-2:])
    middle = above[:, top : maps.shape[-2] - top, left : maps.shape[-1] - left]
    found = torch.where(middle.mean(dim=(1, 2), keepdim=True) > SHARE, above, below)
    found = torch.where(found.amax(dim=(1, 2), keepdim=True) > 0, found, 1.0)[:, None]
    grown = F.max_pool2d(F.max_pool2d(found, 3, 1, 1), 3, 1, 1)
    return (-F.max_pool2d(-grown, 3, 1, 1)).squeeze(1)


def first_component(tokens: Tensor) -> Tensor:
    """The first principal component (B, P) of the tokens (B, P, D) of each image. Of its direction
    the largest number is positive, as scikit-learn has it."""
    away = tokens - tokens.mean(dim=1, keepdim=True)
    direction = away.mT @ away.norm(dim=2, keepdim=True)  # (B, D, 1)
    for _ in range(STEPS):
        direction = F.normalize(away.mT @ (away @ direction), dim=1)
    largest = direction.gather(1, direction.abs().argmax(dim=1, keepdim=True))
    return (away @ (direction * largest.sign())).squeeze(2)
