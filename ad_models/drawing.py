"""Heat maps for people who use an algorithm by itself."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ad_models.colours import ANCHOR, inferno_colours, mixed_colours
from ad_models.errors import InputError
from ad_models.imagenet import MEAN, STD

if TYPE_CHECKING:
    from PIL.Image import Image


def heat_maps(images: Tensor, maps: Tensor, limit: float) -> "list[Image]":
    """A picture for each image: the image beside its heat map over grey.

    images (B, 3, H, W), normalised as for `predict`; maps (B, 1, H, W), of a prediction. limit: map
    value from which colours cover what is below, for example the highest of good images; below
    0.4 of it nothing is coloured, and the colours end at twice of it. So pictures that are given
    the same limit can be compared.
    """
    from PIL import Image

    if (
        images.ndim != 4
        or images.shape[1] != 3
        or maps.shape != (len(images), 1, *images.shape[2:])
    ):
        raise InputError(
            f"expected images (B, 3, H, W) and maps (B, 1, H, W), got {tuple(images.shape)} and "
            f"{tuple(maps.shape)}"
        )
    if not limit > 0:
        raise InputError(f"limit is {limit}; give a map value above 0")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    pictures = []
    for image, map in zip(images.detach().cpu(), maps.detach().cpu(), strict=True):
        seen = 255 * (image * std + mean).clamp(0, 1).movedim(0, -1).double().numpy()  # (H, W, 3)
        share = (map[0].double().numpy() * ANCHOR / limit).clip(0, 1)
        heat = mixed_colours(inferno_colours(share), share, seen.mean(axis=2, keepdims=True))
        both = np.concatenate([seen, heat], axis=1).round().astype(np.uint8)
        pictures.append(Image.fromarray(both))
    return pictures
