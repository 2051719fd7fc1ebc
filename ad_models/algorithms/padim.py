"""PaDiM: a Gaussian of pretrained features at every image position.

Defard et al., ICPR 2021, https://arxiv.org/abs/2011.08785

Idea (section 3): in aligned images, normal patches at one position look alike. Embed
each patch with a frozen CNN, model each position with a Gaussian, and score a patch
by its Mahalanobis distance to the Gaussian of its position.

Differs from the paper: covariances are gathered in one streaming pass, and the
distance uses a Cholesky factor instead of an inverse. Neither changes the result.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from ad_models.base import Batch, Detector, Prediction
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid, stack
from ad_models.gaussian import RunningGaussian, whitening
from ad_models.maps import finish
from ad_models.run import Run


@dataclass(frozen=True)
class PadimConfig:
    backbone: str = "wide_resnet50_2"  # section 4.2
    layers: tuple[str, ...] = ("layer1", "layer2", "layer3")  # section 4.2
    dims: int = 550  # randomly kept channels; table 2 (100 for resnet18)
    epsilon: float = 0.01  # ridge on the covariance; equation 1
    sigma: float = 4.0  # blur of the final map, pixels; section 4.2
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0  # of the channel choice

    def __post_init__(self) -> None:
        if self.dims < 1:
            raise ConfigError(f"dims must be at least 1, got {self.dims}")
        if self.epsilon <= 0:
            raise ConfigError(f"epsilon must be positive, got {self.epsilon}")


class Padim(Detector):
    Config = PadimConfig
    one_pass = True

    def __init__(self, config: PadimConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        available = sum(self.pyramid.channels)
        if config.dims > available:
            raise ConfigError(f"dims is {config.dims}, but {config.backbone} gives {available}")
        self.kept: Tensor
        order = torch.randperm(available, generator=torch.Generator().manual_seed(config.seed))
        self.register_buffer("kept", order[: config.dims])  # (D,), section 3.1
        self.register_buffer("mean", torch.empty(0))  # (P, D)
        self.register_buffer("whiten", torch.empty(0))  # (P, D, D), inverse Cholesky factors

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Patch embeddings (B, P, D) and the grid (h, w) they form, P = h * w."""
        features = stack(self.pyramid(images))[:, self.kept]
        return features.flatten(2).mT, features.shape[-2:]

    @torch.no_grad()
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        gaussian = None
        for batch in run.steps(loader):
            patches, _ = self.embed(batch.image)
            positions, dims = patches.shape[1:]
            gaussian = gaussian or RunningGaussian(positions, dims, patches.device)
            gaussian.update(patches)
        if gaussian is None or gaussian.count < 2:
            raise InputError("PaDiM needs at least 2 normal images to estimate a covariance")
        self.mean = gaussian.mean
        self.whiten = whitening(gaussian.covariance(), self.config.epsilon)  # equation 1

    def forward(self, images: Tensor) -> Prediction:
        patches, grid = self.embed(images)
        # einsum, not `whiten @ x[..., None]`: matmul would expand whiten to (B, P, D, D)
        whitened = torch.einsum("pij,bpj->bpi", self.whiten, patches - self.mean)
        distance = whitened.norm(dim=-1).unflatten(1, grid)  # Mahalanobis, equation 2
        maps = finish(distance.unsqueeze(1), images.shape[-2:], self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)  # section 3.3
