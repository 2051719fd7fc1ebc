"""RegAD: one network registers images of any product; a new product needs one Gaussian per
position.

Huang et al., ECCV 2022, https://arxiv.org/abs/2207.07361

Idea (section 3): train a Siamese network to register two normal images of one product, over many
products, so that it learns what they have in common. A new product needs no training: a few
augmented support images give a Gaussian of the registered features at every position. The score of
a patch is its Mahalanobis distance.

Differs from the paper: the references of a training image come from its own batch, so one pass
gives both sides; one model is used for every number of support images, while the official code
trains one for each number and keeps the best weights on test images (ours: the last epoch).
Features are warped back before the Gaussian, as in the official code, but all warps of a feature at
once, where that code does one after another; the paper warps the map back. The support images are
given, where published figures are means over ten draws of them; a step takes the batch of the
loader: with `preset: paper` 32 images of 224 pixels, as there. The localisers pool their maps to
the size they have at 224 pixels, so any size will do.
"""

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model

from ad_models.base import Batch, Detector, Prediction
from ad_models.budget import SMALLER, require_memory
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError, InputError, NotFittedError
from ad_models.features import stack
from ad_models.gaussian import together
from ad_models.imagenet import MEAN, STD
from ad_models.maps import finish
from ad_models.run import Run
from ad_models.weights import load_weights

STAGES = ("layer1", "layer2", "layer3")
LOCALISED = (14, 7, 4)  # side of what each localiser's last layer sees; official code, 224 pixels
TINY = 1e-3  # smallest determinant that a registration is taken back by


@dataclass(frozen=True)
class RegadConfig:
    backbone: str = "resnet18"  # section 4.1; any ResNet
    epochs: int = 50  # section 4.1
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 1e-4  # of SGD, to zero along a cosine; section 4.1
    references: int = 2  # images a training image is registered to; k in section 3.1
    shots: int = 8  # support images of a new product; table 1 (2, 4 and 8)
    statistics: bool = True  # batch norm learns the products' own; False: keeps ImageNet's, ours:
    # better with few products unlike the new one, since the weights hardly adapt
    epsilon: float = 0.01  # ridge on the covariance; equation 6
    sigma: float = 4.0  # blur of the final map, pixels; official code
    weights: str = "imagenet"  # of the backbone, at the start; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        for name in ("epochs", "references", "shots"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.epsilon <= 0:
            raise ConfigError(f"epsilon must be positive, got {self.epsilon}")
        if not self.backbone.startswith(("resnet", "wide_resnet", "resnext")):
            raise ConfigError(f"RegAD registers the stages of a ResNet, got '{self.backbone}'")


def warp(x: Tensor, matrix: Tensor) -> Tensor:
    """x (B, C, h, w) sampled at `matrix` (B, 2, 2 or 3) times each position, in -1..1.

    Beyond the border it is mirrored. The same as `affine_grid` and `grid_sample`.
    """
    rows, columns = (
        (torch.arange(n, device=x.device, dtype=x.dtype) * 2 + 1) / n - 1 for n in x.shape[-2:]
    )
    y, x_ = torch.meshgrid(rows, columns, indexing="ij")
    grid = torch.einsum("bij,hwj->bhwi", matrix[..., :2], torch.stack([x_, y], dim=-1))
    if matrix.shape[-1] == 3:
        grid = grid + matrix[:, None, None, :, 2]
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def inverse(matrix: Tensor) -> Tensor:
    """Inverse of each matrix (B, 2, 2). A singular matrix is limited to a determinant of TINY, so
    that the features of its image are not lost."""
    a, b, c, d = matrix.flatten(1).unbind(1)
    determinant = a * d - b * c
    held = torch.where(determinant < 0, -1.0, 1.0) * determinant.abs().clamp(min=TINY)
    return torch.stack([d, -b, -c, a], dim=1).unflatten(1, (2, 2)) / held[:, None, None]


class Localiser(nn.Module):
    """The rotation and scales that bring features (B, C, h, w) to their place: matrix (B, 2, 2).

    It starts as the identity (section 3.2; mode `rotation_scale` of the official code).
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.body = nn.Sequential(*_pooled(channels, 64), *_pooled(64, 16))
        self.wide = nn.Linear(16 * side * side, 1024)
        self.last = nn.Linear(1024, 3)
        nn.init.zeros_(self.last.weight)
        self.last.bias.data = torch.tensor([0.0, 1.0, 1.0])

    def forward(self, x: Tensor) -> Tensor:
        found = self.body(x)
        if tuple(found.shape[-2:]) != (self.side, self.side):
            found = F.adaptive_avg_pool2d(found, self.side)
        angle, wide, high = self.last(F.relu(self.wide(found.flatten(1)))).unbind(1)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([cos * wide, -sin, sin, cos * high], dim=1).unflatten(1, (2, 2))


def _pooled(channels: int, out: int) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, 3, padding=1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]


class Registration(nn.Module):
    """A ResNet up to its third stage, with a spatial transformer after each (section 3.2)."""

    def __init__(self, backbone: str, weights: str) -> None:
        super().__init__()
        whole = OrderedDict(get_model(backbone, weights=None).named_children())
        kept = list(whole)[: list(whole).index(STAGES[-1]) + 1]
        self.net = nn.Sequential(OrderedDict((name, whole[name]) for name in kept))
        self.source = load_weights(self.net, backbone, weights)
        self.channels = [s[-1].bn3.num_features if hasattr(s[-1], "bn3") else s[-1].bn2.num_features
                         for s in (whole[name] for name in STAGES)]  # fmt: skip
        self.localisers = nn.ModuleList(
            Localiser(c, side) for c, side in zip(self.channels, LOCALISED, strict=True)
        )

    def forward(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Registered features (B, C, h, w) of each stage, and the matrices (B, 2, 2) they were
        registered by."""
        features: list[Tensor] = []
        matrices: list[Tensor] = []
        for name, part in self.net.named_children():
            x = part(x)
            if name in STAGES:
                matrices.append(self.localisers[len(features)](x))
                x = warp(x, matrices[-1])
                features.append(x)
        return features, matrices


class Regad(Detector):
    Config = RegadConfig
    per_product = ("shots", "epsilon", "sigma")

    def __init__(self, config: RegadConfig) -> None:
        super().__init__(config)
        self.registration = Registration(config.backbone, config.weights)
        channels = self.registration.channels[-1]
        self.encoder = nn.Sequential(*_hidden(channels), *_hidden(channels), _last(channels))
        self.predictor = nn.Sequential(*_hidden(channels), _last(channels))
        for name, numbers in (("pixel_mean", MEAN), ("pixel_std", STD)):
            self.register_buffer(name, torch.tensor(numbers).view(3, 1, 1), persistent=False)
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.register_buffer("mean", torch.empty(0))  # (P, D)
        self.register_buffer("explained", torch.empty(0))  # (P, N, D), see `calibrate`

    def train(self, mode: bool = True) -> "Regad":
        super().train(mode)
        if not self.config.statistics:
            self.registration.net.eval()
        return self

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        """Register images of each product to others of it; a batch may hold several products."""
        config = self.config
        changing = (self.registration, self.encoder, self.predictor)
        parameters = [p for module in changing for p in module.parameters()]
        optimiser = torch.optim.SGD(parameters, config.lr, momentum=0.9)  # section 4.1
        for done in run.epochs(config.epochs, *changing, optimiser):
            optimiser.param_groups[0]["lr"] = (
                config.lr * (1 + math.cos(math.pi * done / config.epochs)) / 2
            )
            pairs = 0
            for batch in run.steps(epoch(loader, config.batches)):
                queries, references = partners(batch, config.references)
                pairs += len(queries)
                if not len(queries):
                    continue
                features = self.registration(self.pixels(batch.image))[0][-1]
                loss = self.loss(features[queries], features[references].mean(dim=1))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)
            if not pairs:
                raise InputError("RegAD needs batches with at least 2 images of the same product")

    def loss(self, one: Tensor, other: Tensor) -> Tensor:
        """Minus the cosine between features (B, C, h, w) of two images, each predicted from the
        other, at every position: -1 where they are in register; equation 2."""
        first, second = self.encoder(one), self.encoder(other)
        there = F.cosine_similarity(self.predictor(first), second.detach(), dim=1)
        back = F.cosine_similarity(self.predictor(second), first.detach(), dim=1)
        return -(there.mean() + back.mean()) / 2

    def pixels(self, images: Tensor) -> Tensor:
        """Images in 0..1: the official code does not normalise them."""
        return images * self.pixel_std + self.pixel_mean

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Registered patch embeddings (B, P, D), moved back to their image positions, and the
        grid."""
        features, matrices = self.registration(self.pixels(images))
        placed, back = [], None
        for found, matrix in zip(features, matrices, strict=True):
            undone = inverse(matrix)
            # a stage sees what those before it have warped: their warps are undone first
            back = undone if back is None else undone @ back
            placed.append(warp(found, back))
        joined = stack(placed)
        return joined.flatten(2).mT, joined.shape[-2:]

    @torch.no_grad()
    def calibrate(self, normals: Iterable[Batch], run: Run) -> None:
        """One Gaussian per position from the first `shots` images, each in 22 variants.

        The covariance of N samples has rank N - 1, less than D: with their centred rows X and
        L L' = X X' + (N - 1) epsilon I, the squared Mahalanobis distance of d is
        (|d|^2 - |L^-1 X d|^2) / epsilon (Woodbury). `explained` is L^-1 X.
        """
        support: list[Tensor] = []
        for batch in run.steps(normals):
            support += batch.image[: self.config.shots - len(support)]
        if not support:
            raise InputError("RegAD needs at least 1 normal image of the product it is to inspect")
        samples = torch.empty(0)
        for number, image in enumerate(support):
            found = self.embed(variants(image[None]))[0]  # (22, P, D)
            if number == 0:
                shape = found.shape[1], len(support) * len(found), found.shape[2]
                what = f"{shape[0]} Gaussians of {shape[1]} vectors"
                require_memory(run, what, 4 * math.prod(shape), f"take fewer shots, or {SMALLER}")
                samples = found.new_empty(shape)  # at once: joining them would double it
            samples[:, number * len(found) :][:, : len(found)] = found.movedim(1, 0)
        self.mean = samples.mean(dim=1)
        samples -= self.mean[:, None]
        ridge = (samples.shape[1] - 1) * self.config.epsilon
        identity = torch.eye(samples.shape[1], device=samples.device)
        for part in samples.split(256):
            factor = torch.linalg.cholesky(part @ part.mT + ridge * identity)
            part.copy_(torch.linalg.solve_triangular(factor, part.clone(), upper=False))
        self.explained = samples

    def forward(self, images: Tensor) -> Prediction:
        if not len(self.mean):
            raise NotFittedError(
                "RegAD is trained, but for no product yet; call calibrate() with images of one"
            )
        patches, grid = self.embed(images)
        away = together(patches - self.mean)
        explained = torch.einsum("pnd,bpd->bpn", self.explained, away)
        squared = away.square().sum(-1) - explained.square().sum(-1)
        distance = (squared.clamp(min=0) / self.config.epsilon).sqrt()  # equation 7
        maps = finish(
            distance.unflatten(1, grid).unsqueeze(1), images.shape[-2:], self.config.sigma
        )
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)


def _hidden(channels: int) -> list[nn.Module]:
    return [_last(channels), nn.BatchNorm2d(channels), nn.ReLU()]


def _last(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 1, bias=False)


def partners(batch: Batch, count: int) -> tuple[Tensor, Tensor]:
    """Indices in the batch of images whose product has other images there (Q,), and for each the
    indices of `count` random others, or of as many as all have (Q, count)."""
    names = batch.category or [""] * len(batch.image)
    alike = torch.tensor([[a == b for b in names] for a in names]).fill_diagonal_(False)
    queries = alike.any(dim=1).nonzero().squeeze(1)
    if not len(queries):
        return queries, queries[:, None]
    drawn = torch.rand(alike.shape).masked_fill(~alike, -1)[queries]
    count = min(count, int(alike[queries].sum(dim=1).min()))
    return queries, drawn.topk(count, dim=1).indices


def variants(image: Tensor) -> Tensor:
    """The 22 support images (22, 3, H, W) that one image (1, 3, H, W) gives (section 3.3)."""
    ratio = image.shape[-2] / image.shape[-1]  # rotations are of pixels, not of -1..1
    eighths = [sign * turn / 16 for turn in (1, 2, 3, 4) for sign in (1, -1)]
    shifts = [(x, y) for s in (0.2, 0.1) for x in (s, -s) for y in (s, -s)]
    turned = []
    for angle in (math.pi * share for share in (*eighths, 0.5, 1.0, 1.5)):
        cos, sin = math.cos(angle), math.sin(angle)
        turned.append([[cos, -sin * ratio, 0], [sin / ratio, cos, 0]])
    moved = [[[1.0, 0, x], [0, 1.0, y]] for x, y in shifts]
    matrices = torch.tensor(turned + moved, dtype=image.dtype, device=image.device)
    warped = warp(image.expand(len(matrices), -1, -1, -1), matrices)
    return torch.cat([image, warped, image.flip(-1), grey(image)])


def grey(image: Tensor) -> Tensor:
    """A normalised image (1, 3, H, W) without its colour."""
    mean, std = (
        torch.tensor(numbers, device=image.device).view(3, 1, 1) for numbers in (MEAN, STD)
    )
    weights = torch.tensor((0.299, 0.587, 0.114), device=image.device).view(3, 1, 1)
    return (((image * std + mean) * weights).sum(1, keepdim=True) - mean) / std
