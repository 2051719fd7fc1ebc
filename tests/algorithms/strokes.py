"""A small product with one kind of defect: a printed disc with a dark stroke painted across it."""

from typing import NamedTuple

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ad_models import Batch, Detector
from ad_models.pixels import normalised


class Found(NamedTuple):
    image: float  # AUROC of images
    pixel: float  # AUROC of pixels


def discs(count: int, seed: int, side: int = 64) -> Tensor:
    """Good images (count, 3, side, side), ImageNet-normalised; each a little different."""
    g = torch.Generator().manual_seed(seed)
    at = torch.linspace(-1, 1, side)
    moved = 0.06 * torch.randn(2, count, 1, 1, generator=g)
    y, x = at[:, None] + moved[0], at[None, :] + moved[1]
    radius = (x.square() + y.square()).sqrt()
    disc = torch.sigmoid((0.75 - radius) * 25) - 0.5 * torch.sigmoid((0.35 - radius) * 25)
    light = 0.85 + 0.15 * torch.rand(count, 1, 1, generator=g)
    colour = torch.tensor([0.8, 0.6, 0.4]).view(1, 3, 1, 1)
    images = 0.15 + (disc * light)[:, None] * colour
    images = images + 0.01 * torch.randn(images.shape, generator=g)
    return normalised(images)


def painted(count: int, seed: int, side: int = 64) -> tuple[Tensor, Tensor]:
    """Images with a stroke across the disc, and where it is (count, side, side)."""
    images = discs(count, seed, side)
    g = torch.Generator().manual_seed(seed + 1000)
    angle, offset = torch.rand(2, count, 1, 1, generator=g)
    angle, offset = 3.14159 * angle, 0.5 * (offset - 0.5)
    at = torch.linspace(-1, 1, side)
    y, x = at[:, None], at[None, :]
    across = x * angle.cos() + y * angle.sin() - offset
    along = y * angle.cos() - x * angle.sin()
    masks = (across.abs() < 0.06) & (along.abs() < 0.35)
    return torch.where(masks[:, None], images - 1.2, images), masks


def batches(count: int = 32, batch: int = 8, side: int = 64) -> list[Batch]:
    """Good images to learn from."""
    return [Batch(part, ["disc"] * len(part)) for part in discs(count, 0, side).split(batch)]


def found(detector: Detector, side: int = 64) -> Found:
    """How well a fitted detector tells 12 good from 12 painted images and finds the strokes."""
    images, masks = painted(12, 2, side)
    good, bad = detector.predict(discs(12, 1, side)), detector.predict(images)
    labels = [0] * 12 + [1] * 12
    maps = torch.cat([good.map, bad.map]).flatten()
    truth = torch.cat([torch.zeros_like(masks), masks]).flatten()
    return Found(
        float(roc_auc_score(labels, torch.cat([good.score, bad.score]))),
        float(roc_auc_score(truth, maps)),
    )
