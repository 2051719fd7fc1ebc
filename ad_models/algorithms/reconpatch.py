"""ReConPatch: PatchCore in a feature space where similar patches are close to each other.

Hyun et al., WACV 2024, https://arxiv.org/abs/2305.16713

Idea (section 3): a linear layer on frozen patch features is trained to bring similar patches
together and to separate others. A slow copy of the layer gives the similarity of two patches,
between 0 and 1: from their distance, and from the neighbours they share. PatchCore's memory and
score then work on the layer's output.

Differs from the paper: no official code exists. `neighbours`, `margin`, `bandwidth`, `pairwise` and
`momentum` are from reviews; one re-implementation has 3 neighbours and a margin of 0.1. The loss
compares patches of one image at a time, at most `patches` of them. Images of `preset: paper` are
brought to 224 pixels, as for PatchCore. Patches are PatchCore's; they are kept in half precision
while the layer is trained.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ad_models.adamp import AdamP
from ad_models.base import Batch, Detector, Prediction
from ad_models.budget import allowance, disk
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError
from ad_models.features import Pyramid
from ad_models.maps import finish
from ad_models.neighbours import around, nearest, scarcity
from ad_models.patches import Kept, PatchEmbedding
from ad_models.reservoir import Reservoir, plan
from ad_models.run import Run
from ad_models.search import Share


@dataclass(frozen=True)
class ReconpatchConfig:
    backbone: str = "wide_resnet50_2"  # section 4
    layers: tuple[str, ...] = ("layer2", "layer3")  # section 4
    neighbourhood: int = 3  # side of a patch, positions; section 4
    dims: int = 512  # of the learned space; section 4
    epochs: int = 120  # section 4
    batches: int = 0  # of an epoch; 0: one pass over the images
    lr: float = 1e-5  # of AdamP, with cosine annealing; section 4
    weight_decay: float = 1e-2  # section 4
    momentum: float = 0.9  # of the slow copy; gamma
    bandwidth: float = 1.0  # of pairwise similarity, squared distance; sigma
    neighbours: int = 5  # of contextual similarity; k
    pairwise: Share = 0.5  # share of pairwise similarity, the rest is contextual; alpha
    margin: float = 1.0  # mean distances that unlike patches should keep; m
    patches: int = 4096  # of an image contrasted at once: bounds the N x N tables; ours
    ratio: float = 0.01  # of patches kept in the memory; section 4
    projected: int = 128  # dims in which the coreset is chosen; PatchCore's code
    reweight_neighbours: int = 9  # b of PatchCore's equation 7; ours: no paper gives one
    sigma: float = 4.0  # blur of the final map, pixels; as PatchCore
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if self.neighbourhood % 2 == 0:
            raise ConfigError(f"neighbourhood must be odd, got {self.neighbourhood}")
        for name in ("dims", "epochs", "neighbours"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("patches", "reweight_neighbours"):
            if getattr(self, name) < 2:
                raise ConfigError(f"{name} must be at least 2, got {getattr(self, name)}")
        if not 0 < self.ratio <= 1:
            raise ConfigError(f"ratio must be above 0 and at most 1, got {self.ratio}")
        for name in ("momentum", "pairwise"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        for name in ("bandwidth", "margin"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


class Reconpatch(Detector):
    Config = ReconpatchConfig
    reads_once = True
    reads_features = "pyramid"

    def __init__(self, config: ReconpatchConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        each = min(self.pyramid.channels)  # of each layer, as PatchCore
        self.patches = PatchEmbedding(self.pyramid.channels, config.neighbourhood, each)
        self.layer = nn.Linear(self.patches.dims, config.dims)  # f of section 3
        self.register_buffer("bank", torch.empty(0))  # (N, D)
        self.register_buffer("around", torch.empty(0, dtype=torch.long))  # (N, b)

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Features before the layer (B, P, C) and the grid (h, w) they form, P = h * w."""
        return self.patches(self.pyramid(images))

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        kept = Kept(lambda images: self.embed(images)[0], loader, run, batch=1)
        self.train_layer(kept, run)
        with torch.no_grad():
            self.remember(kept, run)

    def train_layer(self, kept: Kept, run: Run) -> None:
        """Train the layer with a second layer after it, g of section 3, which is dropped at the
        end."""
        c = self.config
        student = nn.Sequential(self.layer, nn.Linear(c.dims, c.dims)).to(run.device)
        teacher = copy.deepcopy(student).requires_grad_(False)
        optimiser = AdamP(student.parameters(), c.lr, weight_decay=c.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, c.epochs)
        for _ in run.epochs(c.epochs, student, teacher, optimiser, schedule):
            for features in run.steps(epoch(kept, c.batches)):
                patches = features.flatten(0, 1)
                if len(patches) > c.patches:
                    patches = patches[torch.randperm(len(patches))[: c.patches]]
                labels = similarity(teacher(patches), c.bandwidth, c.neighbours, c.pairwise)
                loss = relaxed_contrastive(student(patches), labels, c.margin)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                for slow, fast in zip(teacher.parameters(), student.parameters(), strict=True):
                    slow.lerp_(fast.detach(), 1 - c.momentum)
                run.log(loss=loss)
            schedule.step()

    def remember(self, kept: Kept, run: Run) -> None:
        """Store a coreset of the learned features of all images, and its nearest neighbours."""
        c, total = self.config, kept.count * kept.shape[0]
        count = max(2, round(total * c.ratio))
        room = allowance(None, run.device)
        way = plan(count, total, c.dims, c.projected, room, disk(run.folder))
        reservoir = Reservoir(way, c.seed, run.device)
        for features in kept:
            reservoir.add(self.layer(features)[0])
        self.bank, _ = reservoir.coreset(count, run.tick("coreset"))
        self.around = around(self.bank, c.reweight_neighbours)

    def forward(self, images: Tensor) -> Prediction:
        features, grid = self.embed(images)
        patches = self.layer(features)
        distance, neighbour = nearest(patches, self.bank)  # (B, P)
        maps = finish(
            distance.unflatten(1, grid).unsqueeze(1), images.shape[-2:], self.config.sigma
        )
        weight = scarcity(patches, distance, neighbour, (self.bank, self.around))
        return Prediction(score=distance.amax(dim=1) * weight, map=maps)


def similarity(z: Tensor, bandwidth: float, neighbours: int, pairwise: float) -> Tensor:
    """Similarity of patches (N, D), in 0..1 and symmetric (N, N): a mixture of pairwise and
    contextual similarity; section 3."""
    distance = torch.cdist(z, z)
    by_distance = (-distance.square() / bandwidth).exp()
    return pairwise * by_distance + (1 - pairwise) * contextual(distance, neighbours)


def contextual(distance: Tensor, neighbours: int) -> Tensor:
    """Similarity (N, N) by shared neighbours, from distances (N, N).

    The k nearest of a patch, itself among them, count as similar by the share of their own k
    nearest that are its too. This is averaged over the patches that are among each other's k / 2
    nearest, and made symmetric.
    """
    own = distance.clone().fill_diagonal_(-1)  # itself comes first, also where patches are equal
    near = own.topk(min(neighbours, len(own)), largest=False).indices  # (N, k)
    shared = (near[:, None, :, None] == near[near][:, :, None, :]).any(3).float().mean(2)  # (N, k)
    shared = torch.zeros_like(distance).scatter(1, near, shared)
    half = near[:, : max(1, round(neighbours / 2))]  # (N, m)
    indices = torch.arange(len(own), device=own.device)
    mutual = (half[half] == indices[:, None, None]).any(2).float()  # (N, m)
    widened = torch.einsum("nm,nmj->nj", mutual / mutual.sum(1, keepdim=True), shared[half])
    return (widened + widened.mT) / 2


def relaxed_contrastive(z: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Loss of patches (N, D) whose similarity is `labels` (N, N): similar patches move together,
    others beyond `margin`, in units of a patch's mean distance; section 3."""
    distance = torch.cdist(z, z)
    relative = distance / distance.mean(dim=1, keepdim=True)
    apart = (margin - relative).clamp(min=0)
    return (labels * relative.square() + (1 - labels) * apart.square()).sum(1).mean()
