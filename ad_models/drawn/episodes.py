"""Episodes: pictures of one drawn product, changed together as a camera or another product would.

A product is seen from another side, in other colours, nearer; each of its pictures is a little
moved, lit, turned, out of focus. So some thousand products stand for many more, and what is learnt
bears with all that differs among good parts.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor
from torchvision.transforms import functional as alter

from ad_models.drawn.shelf import SIDE, Bytes
from ad_models.pixels import normalised

CROP = 128  # pixels, after zoom
NEAREST, FARTHEST = 84, 138  # pixels of the picture that are seen
MOVE = 2  # pixels by which a picture is off


def episode(pictures: Bytes, random: Generator) -> tuple[Tensor, Tensor]:
    """Images (N, 3, CROP, CROP), ImageNet-normalised, and masks (N, 1, CROP, CROP) in {0, 1}."""
    seen = cropped(torch.from_numpy(pictures).permute(0, 3, 1, 2).float(), random)
    seen = bent(turned(seen, random), random)
    colours = blurred(relit(recoloured(seen[:, :3] / 255, random), random), random)
    return normalised(colours), (seen[:, 3:] > 127).float()


def cropped(pictures: Tensor, random: Generator) -> Tensor:
    side = CROP if random.random() < 0.5 else int(random.integers(NEAREST, FARTHEST))
    top, left = random.integers(MOVE, SIDE - side - MOVE, 2)
    moves = random.integers(-MOVE, MOVE + 1, (len(pictures), 2))
    parts = [
        picture[:, top + y : top + y + side, left + x : left + x + side]
        for picture, (y, x) in zip(pictures, moves, strict=True)
    ]
    out = torch.stack(parts)
    if side == CROP:
        return out
    size, smooth = (CROP, CROP), side > CROP
    return F.interpolate(out, size, mode="bilinear", antialias=smooth, align_corners=False)


def turned(pictures: Tensor, random: Generator) -> Tensor:
    """All turned and mirrored alike, or each by itself: parts that lie at any angle."""
    if random.random() < 0.3:
        return torch.stack([_turned(picture, random) for picture in pictures])
    return _turned(pictures, random)


def _turned(pictures: Tensor, random: Generator) -> Tensor:
    pictures = torch.rot90(pictures, int(random.integers(4)), (-2, -1))
    return pictures.flip(-1) if random.random() < 0.5 else pictures


def bent(pictures: Tensor, random: Generator) -> Tensor:
    """In some episodes each a little turned, nearer or sheared."""
    if random.random() > 0.4:
        return pictures
    count = len(pictures)
    angle, size = random.normal(0, 0.15, count), np.exp(random.normal(0, 0.05, count))
    c, s = np.cos(angle) * size, np.sin(angle) * size
    shear = random.normal(0, 0.03, (2, count))
    rows = np.stack([[c, shear[0] - s, 0 * c], [s + shear[1], c, 0 * c]]).transpose(2, 0, 1)
    places = F.affine_grid(
        torch.from_numpy(rows).float(), list(pictures.shape), align_corners=False
    )
    return F.grid_sample(pictures, places, padding_mode="reflection", align_corners=False)


def recoloured(colours: Tensor, random: Generator) -> Tensor:
    """Channels swapped, inverted, grey, of another contrast: the same for all pictures."""
    if random.random() < 0.5:
        colours = colours[:, torch.from_numpy(random.permutation(3))]
    if random.random() < 0.15:
        colours = 1 - colours
    if random.random() < 0.3:
        colours = colours.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    return colours.clamp_min(1e-4) ** float(np.exp(random.uniform(-0.4, 0.4)))


def relit(colours: Tensor, random: Generator) -> Tensor:
    """Each picture a little brighter or darker, in some episodes much, or of another contrast."""
    spread = 0.2 if random.random() < 0.3 else 0.02
    gain, offset, contrast = torch.from_numpy(random.normal(0, 1, (3, len(colours), 1, 1, 1)))
    colours = colours * torch.exp(spread * gain).float() + 0.01 * offset.float()
    if random.random() < 0.3:
        mean = colours.mean((2, 3), keepdim=True)
        colours = torch.lerp(mean, colours, torch.exp(0.15 * contrast).float())
    return colours


def blurred(colours: Tensor, random: Generator) -> Tensor:
    """In some episodes each of its own focus; in some with its own noise of the camera."""
    if random.random() < 0.3:
        sigmas = random.uniform(0.2, 1.2, len(colours))
        some = [
            alter.gaussian_blur(one, [5, 5], [s, s]) for one, s in zip(colours, sigmas, strict=True)
        ]
        colours = torch.stack(some)
    if random.random() < 0.3:
        strength = torch.from_numpy(random.uniform(0, 0.04, (len(colours), 1, 1, 1))).float()
        noise = torch.from_numpy(random.standard_normal(colours.shape, dtype=np.float32))
        colours = colours + strength * noise
    return colours
