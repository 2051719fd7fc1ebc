"""A small product with one painted kind of defect, and how well a detector solves it."""

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from ad_models import Batch, Detector

SIDE = 64


def stripes(count: int, seed: int, side: int = SIDE) -> Tensor:
    """Normal images (count, 3, side, side): stripes that shift a little, and noise."""
    g = torch.Generator().manual_seed(seed)
    x = torch.linspace(0, 12.57, side).view(1, 1, 1, side)
    shift = torch.rand(count, 1, 1, 1, generator=g)
    return torch.sin(x + shift) + 0.1 * torch.randn(count, 3, side, side, generator=g)


def painted(count: int, seed: int, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Normal images with a dark or bright square anywhere, and its mask (count, 1, side, side)."""
    images, masks = stripes(count, seed, side), torch.zeros(count, 1, side, side)
    g = torch.Generator().manual_seed(seed)
    width = side // 5
    for i in range(count):
        y, x = torch.randint(side - width, (2,), generator=g).tolist()
        images[i, :, y : y + width, x : x + width] += 2.5 if i % 2 else -2.5
        masks[i, :, y : y + width, x : x + width] = 1
    return images, masks


def batches(count: int = 32, side: int = SIDE) -> list[Batch]:
    return [Batch(part) for part in stripes(count, 0, side).split(8)]


def aurocs(detector: Detector, side: int = SIDE) -> tuple[float, float]:
    """Image and pixel AUROC on 16 good and 16 painted images."""
    good, (bad, masks) = stripes(16, 1, side), painted(16, 2, side)
    score, maps = detector.predict(torch.cat([good, bad]))
    truth = torch.cat([torch.zeros_like(masks), masks])
    image = roc_auc_score(truth.flatten(1).amax(1), score.cpu())
    return float(image), float(roc_auc_score(truth.flatten(), maps.cpu().flatten()))
