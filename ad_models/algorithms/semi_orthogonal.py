"""Semi-orthogonal embedding: a Gaussian at every position, of features that were projected.

Kim et al., 2021, https://arxiv.org/abs/2105.14737

Idea (section 3): PaDiM keeps random channels so that its covariances stay small. A random
projection with orthonormal columns needs the same memory, keeps information of every channel, and
its distance is a better approximation of that of the full covariance.

Differs from the paper: the projection is applied before coarse maps are enlarged, and the distance
uses a Cholesky factor instead of an inverse. Neither changes the result. All normal images are
used; the official code leaves out every tenth.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Places, Prediction, blocks
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid, dims_of
from ad_models.gaussian import RunningGaussian, claim_gaussians, mahalanobis, whitening
from ad_models.gaussian_left_out import Gaussians
from ad_models.maps import finish
from ad_models.patches import check_positions
from ad_models.run import Run
from ad_models.search import Dims, Ridge

DIMS = {"wide_resnet50_2": 300, "resnet18": 100}  # section 4


@dataclass(frozen=True)
class SemiOrthogonalConfig:
    backbone: str = "wide_resnet50_2"  # section 4
    layers: tuple[str, ...] = ("layer1", "layer2", "layer3")  # section 4
    dims: Dims = None  # k, of the projection; None: by the backbone, see DIMS
    epsilon: Ridge = 0.01  # ridge on the covariance; official code
    sigma: float = 4.0  # blur of the final map, pixels; official code
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0  # of the projection

    def __post_init__(self) -> None:
        if self.dims is not None and self.dims < 1:
            raise ConfigError(f"dims must be at least 1, got {self.dims}")
        if self.epsilon <= 0:
            raise ConfigError(f"epsilon must be positive, got {self.epsilon}")


class SemiOrthogonal(Detector):
    Config = SemiOrthogonalConfig
    one_pass = reads_once = True
    exact_without = True
    fewest = 2
    reads_features = "pyramid"

    def __init__(self, config: SemiOrthogonalConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        available = sum(self.pyramid.channels)
        dims = dims_of(config.dims, config.backbone, available, DIMS)
        self.basis: Tensor
        self.register_buffer("basis", semi_orthogonal(available, dims, config.seed))  # (F, D)
        self.register_buffer("mean", torch.empty(0))  # (P, D)
        self.register_buffer("whiten", torch.empty(0))  # (P, D, D), inverse Cholesky factors

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Projected patch features (B, P, D) and the grid (h, w) they form, P = h * w."""
        pyramid = self.pyramid(images)
        grid = pyramid[0].shape[-2:]
        parts = self.basis.split(self.pyramid.channels)
        # A sum of projections is the projection of the stack; each at its own, cheaper, grid
        projected = (
            F.interpolate(F.conv2d(features, part.mT[..., None, None]), size=grid)
            for features, part in zip(pyramid, parts, strict=True)
        )
        return reduce(torch.add, projected).flatten(2).mT, grid

    @torch.no_grad()
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        gaussian = None
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                patches, _ = self.embed(images)
                if gaussian is None:
                    positions, dims = patches.shape[1:]
                    claim_gaussians(run, positions, dims, dims * dims)
                    gaussian = RunningGaussian(positions, dims, patches.device)
                gaussian.update(patches)
        if gaussian is None or gaussian.count < 2:
            raise InputError("a covariance needs at least 2 normal images")
        # The official code divides by the number of images, not by one less
        self.mean, covariance = gaussian.estimate(ddof=0)
        self.whiten = whitening(covariance, self.config.epsilon)

    def forward(self, images: Tensor) -> Prediction:
        patches, grid = self.embed(images)
        check_positions(patches.shape[1], len(self.mean), images)
        distance = mahalanobis(patches - self.mean, self.whiten)
        return self.prediction(distance, grid, images.shape[-2:])

    def prediction(self, distance: Tensor, grid: torch.Size, size: torch.Size) -> Prediction:
        """From distances (B, P) of the positions of a grid, for images of this size, pixels."""
        maps = finish(distance.unflatten(1, grid).unsqueeze(1), size, self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)

    def left_out(
        self, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Prediction] | None:
        count = len({image for group in places for image in group})
        gaussians = Gaussians(self.mean, self.whiten, count, self.config.epsilon, 0)
        found = gaussians.left_out(self.embed, loader, places, run)
        return None if found is None else (self.prediction(*one) for one in found)


def semi_orthogonal(rows: int, columns: int, seed: int) -> Tensor:
    """Random W (rows, columns) with W^T W = I, every such W equally likely (section 3).

    Q of a QR decomposition is not uniform until R's diagonal is made positive.
    """
    gauss = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).double()
    q, r = torch.linalg.qr(gauss)
    return (q * r.diagonal().sign()).float()
