"""PatchCore: the distance to the nearest of a few remembered normal patches.

Roth et al., CVPR 2022, https://arxiv.org/abs/2106.08265

Idea (section 3): remember the mid-level features of all normal patches, thin the memory
to a coreset that still covers it, and score a patch by the distance to its nearest
neighbour there. Position plays no part, so parts may lie at any place and angle.

Differs from the paper: channels are kept as they are, where the official code pools
them to 1024; neighbour search is exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.coreset import greedy, project
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid, stack
from ad_models.maps import finish
from ad_models.neighbours import nearest
from ad_models.run import Run


@dataclass(frozen=True)
class PatchcoreConfig:
    backbone: str = "wide_resnet50_2"  # section 4.1
    layers: tuple[str, ...] = ("layer2", "layer3")  # section 3.1
    neighbourhood: int = 3  # side of the patch that is averaged, positions; section 4.4.1
    ratio: float = 0.1  # of patches kept; table 1 (0.25, 0.1 and 0.01)
    projected: int = 128  # dims in which the coreset is chosen; official code
    reweight: bool = False  # equation 7; the official code leaves it out
    reweight_neighbours: int = 9  # b in equation 7; ours: the paper gives none
    sigma: float = 4.0  # blur of the final map, pixels; section 3.3
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0  # of the projection and the first coreset point

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ConfigError(f"ratio must be above 0 and at most 1, got {self.ratio}")
        if self.neighbourhood % 2 == 0:
            raise ConfigError(f"neighbourhood must be odd, got {self.neighbourhood}")


class Patchcore(Detector):
    Config = PatchcoreConfig
    one_pass = True

    def __init__(self, config: PatchcoreConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        self.register_buffer("bank", torch.empty(0))  # (N, D)
        self.register_buffer("around", torch.empty(0, dtype=torch.long))  # (N, b), equation 7

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Patch embeddings (B, P, D) and the grid (h, w) they form, P = h * w."""
        side = self.config.neighbourhood
        pooled = [F.avg_pool2d(f, side, stride=1, padding=side // 2) for f in self.pyramid(images)]
        features = stack(pooled, mode="bilinear")
        return features.flatten(2).mT, features.shape[-2:]

    @torch.no_grad()
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        found = [self.embed(batch.image)[0].flatten(0, 1) for batch in run.steps(loader)]
        if not found:
            raise InputError("PatchCore needs at least 1 normal image")
        patches = torch.cat(found)
        del found  # or two copies of all features stay while the coreset is chosen
        count = max(1, round(len(patches) * self.config.ratio))
        narrow = project(patches, self.config.projected, self.config.seed)
        chosen = greedy(narrow, count, self.config.seed, tick=run.tick("coreset"))
        self.bank = patches[chosen.to(patches.device)]
        if self.config.reweight:
            b = min(self.config.reweight_neighbours, len(self.bank))
            self.around = torch.cdist(self.bank, self.bank).topk(b, largest=False).indices

    def forward(self, images: Tensor) -> Prediction:
        patches, grid = self.embed(images)
        distance, neighbour = nearest(patches, self.bank)  # (B, P), equation 6
        score = distance.amax(dim=1)
        if self.config.reweight:
            score = score * self.scarcity(patches, distance, neighbour)
        maps = finish(
            distance.unflatten(1, grid).unsqueeze(1), images.shape[-2:], self.config.sigma
        )
        return Prediction(score=score, map=maps)

    def scarcity(self, patches: Tensor, distance: Tensor, neighbour: Tensor) -> Tensor:
        """Weight (B,) of equation 7: lower where the nearest memory lies among many like it."""
        worst = distance.argmax(dim=1, keepdim=True)  # (B, 1)
        # gather, not take_along_dim: that one fixes the exported batch size
        query = patches.gather(1, worst[..., None].expand(-1, -1, patches.shape[2]))  # (B, 1, D)
        memory = neighbour.gather(1, worst).squeeze(1)  # (B,)
        distances = (query - self.bank[self.around[memory]]).norm(dim=-1)  # (B, b), itself first
        return 1 - distances.softmax(dim=1)[:, 0]  # softmax: exp alone overflows
