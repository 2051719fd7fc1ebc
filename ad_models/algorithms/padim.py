"""PaDiM: a Gaussian of pretrained features at every image position.

Defard et al., ICPR 2021, https://arxiv.org/abs/2011.08785

Idea (section 3): in aligned images, normal patches at one position look alike. Embed
each patch with a frozen CNN, model each position with a Gaussian, and score a patch
by its Mahalanobis distance to the Gaussian of its position.

Differs from the paper: covariances are gathered in one streaming pass, and the distance uses a
Cholesky factor instead of an inverse; if there are much fewer images than dimensions, we use their
Gram matrix instead of the covariance. The result is the same. Images of `preset: paper` are brought
to 224 pixels, where the paper makes them 256 and cuts 224 out of the middle: a rim is not seen
there, and a part is a little larger.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import Batch, Detector, Places, Prediction, blocks
from ad_models.budget import announced
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid, dims_of
from ad_models.gaussian import (
    FewRows,
    RunningGaussian,
    claim_gaussians,
    mahalanobis,
    mahalanobis_of_few,
    whitening,
)
from ad_models.gaussian_left_out import Gaussians
from ad_models.maps import finish
from ad_models.patches import check_positions
from ad_models.run import Run
from ad_models.search import Dims, Ridge

DIMS = {"wide_resnet50_2": 550, "resnet18": 100}  # table 2


@dataclass(frozen=True)
class PadimConfig:
    backbone: str = "wide_resnet50_2"  # section 4.2
    layers: tuple[str, ...] = ("layer1", "layer2", "layer3")  # section 4.2
    dims: Dims = None  # randomly kept channels; None: by the backbone, see DIMS
    epsilon: Ridge = 0.01  # ridge on the covariance; equation 1
    sigma: float = 4.0  # blur of the final map, pixels; section 4.2
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0  # of the channel choice

    def __post_init__(self) -> None:
        if self.dims is not None and self.dims < 1:
            raise ConfigError(f"dims must be at least 1, got {self.dims}")
        if self.epsilon <= 0:
            raise ConfigError(f"epsilon must be positive, got {self.epsilon}")


class Padim(Detector):
    Config = PadimConfig
    one_pass = reads_once = True
    exact_without = True
    fewest = 2
    reads_features = "pyramid"

    def __init__(self, config: PadimConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        available = sum(self.pyramid.channels)
        dims = dims_of(config.dims, config.backbone, available, DIMS)
        self.kept: Tensor
        order = torch.randperm(available, generator=torch.Generator().manual_seed(config.seed))
        self.register_buffer("kept", order[:dims])  # (D,), section 3.1
        self.share_out()
        self.register_load_state_dict_post_hook(lambda padim, _: padim.share_out())
        self.register_buffer("mean", torch.empty(0))  # (P, D)
        # (P, D, D), inverse Cholesky factors of the covariances, or (P, N, N) beside `rows`
        self.register_buffer("whiten", torch.empty(0))
        self.register_buffer("rows", torch.empty(0))  # (P, N, D), where images are few
        self.register_buffer("count", torch.tensor(0))  # images seen

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Patch embeddings (B, P, D) and the grid (h, w) they form, P = h * w."""
        pyramid = self.pyramid(images)
        grid = pyramid[0].shape[-2:]
        # stack(pyramid)[:, kept], but what is not kept is not resized
        chosen = ((one, self.get_buffer(f"kept{layer}")) for layer, one in enumerate(pyramid))
        parts = [F.interpolate(one[:, kept], size=grid) for one, kept in chosen if len(kept)]
        return torch.cat(parts, dim=1)[:, self.place].flatten(2).mT, grid

    def share_out(self) -> None:
        """Divide `kept` among the layers; `place`: where each of its channels is in their order."""
        first, places = 0, []
        for layer, channels in enumerate(self.pyramid.channels):
            of_it = (self.kept >= first) & (self.kept < first + channels)
            places.append(of_it.nonzero().squeeze(1))
            kept = self.kept[places[-1]] - first
            self.register_buffer(f"kept{layer}", kept, persistent=False)
            first += channels
        self.place: Tensor
        self.register_buffer("place", torch.cat(places).argsort(), persistent=False)

    @torch.no_grad()
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        gathered: RunningGaussian | FewRows | None = None
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                patches, _ = self.embed(images)
                if gathered is None:
                    gathered = start(patches, announced(loader, batch.image), run)
                gathered = added(gathered, patches)
        if gathered is None or gathered.count < 2:
            raise InputError("PaDiM needs at least 2 normal images to estimate a covariance")
        self.factorise(gathered)

    @torch.no_grad()
    def learn_more(self, loader: Iterable[Batch], run: Run) -> None:
        gathered = None
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                if gathered is None:
                    gathered = self.restored(announced(loader, batch.image) or len(batch.image))
                gathered = added(gathered, self.embed(images)[0])
        if gathered is not None:
            self.factorise(gathered)

    def restored(self, more: int) -> RunningGaussian | FewRows:
        """The data before `factorise`, with space for `more` images if that form is smaller."""
        count, dims = int(self.count), self.mean.shape[1]
        if not self.rows.numel():
            return RunningGaussian.restored(count, self.mean, self.whiten, self.config.epsilon)
        most = count + more if FewRows.saves(count + more, dims) else count
        few = FewRows(len(self.mean), dims, most, self.mean.device)
        few.update((self.rows[:, :count] + self.mean[:, None]).movedim(1, 0))
        return few

    def factorise(self, gathered: RunningGaussian | FewRows) -> None:
        """Compute mean and covariances (equation 1) of the collected data."""
        self.count = torch.tensor(gathered.count, device=self.fitted.device)
        self.record = {"images": gathered.count}
        if isinstance(gathered, FewRows):
            self.mean, self.rows = gathered.centre(), gathered.rows
            ridge = self.config.epsilon * (gathered.count - 1)
            self.whiten = whitening(self.rows @ self.rows.mT, ridge)
        else:
            self.rows = torch.empty(0, device=self.fitted.device)
            self.mean, covariance = gathered.estimate()
            self.whiten = whitening(covariance, self.config.epsilon)

    def forward(self, images: Tensor) -> Prediction:
        patches, grid = self.embed(images)
        check_positions(patches.shape[1], len(self.mean), images)
        delta = patches - self.mean
        if self.rows.numel():
            distance = mahalanobis_of_few(delta, self.rows, self.whiten, self.config.epsilon)
        else:
            distance = mahalanobis(delta, self.whiten)  # equation 2
        return self.prediction(distance, grid, images.shape[-2:])

    def prediction(self, distance: Tensor, grid: torch.Size, size: torch.Size) -> Prediction:
        """From distances (B, P) of the positions of a grid, for images of this size, pixels."""
        maps = finish(distance.unflatten(1, grid).unsqueeze(1), size, self.config.sigma)
        return Prediction(score=maps.amax(dim=(1, 2, 3)), map=maps)  # section 3.3

    def left_out(
        self, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Prediction] | None:
        count, ridge = int(self.count), self.config.epsilon
        rows = self.rows[:, :count] if self.rows.numel() else None
        gaussians = Gaussians(self.mean, self.whiten, count, ridge, 1, rows)
        found = gaussians.left_out(self.embed, loader, places, run)
        return None if found is None else (self.prediction(*one) for one in found)


def start(patches: Tensor, most: int, run: Run) -> RunningGaussian | FewRows:
    """The smaller form for patches (B, P, D) of `most` images (0: unknown); an error if it does not
    fit."""
    positions, dims = patches.shape[1:]
    few = most > 0 and FewRows.saves(most, dims)
    claim_gaussians(run, positions, dims, most * (most + dims) if few else dims * dims)
    if few:
        return FewRows(positions, dims, most, patches.device)
    return RunningGaussian(positions, dims, patches.device)


def added(gathered: RunningGaussian | FewRows, patches: Tensor) -> RunningGaussian | FewRows:
    """Add patches (B, P, D) of more images; changes to the other form if there are too many."""
    if isinstance(gathered, FewRows) and not gathered.room(len(patches)):
        gathered = gathered.running()
    gathered.update(patches)
    return gathered
