"""PNI: the distance to the nearest stored patch that is expected at this position.

Bae, Lee and Kim, ICCV 2023, https://arxiv.org/abs/2211.12634

Idea (section 3): a normal patch in the wrong place is also a defect, and a memory of patches alone
cannot find it. Count which entries occur near each position, and train a network that predicts from
the features around a patch which entries to expect in the middle. Entries with a low probability
are excluded. The score of a patch is its distance to the nearest of the others.

Differs from the paper: no refinement network (it adds a tenth of a correction learned from
synthetic defects to the map), and one backbone, where the paper's best figures average three;
patches are PatchCore's, which are those of the official code for WideResNets; one bank is used for
both conditions; the network is that of the last epoch. The official code includes the centre in its
surroundings because of an off-by-one error; here it is left out, as in the paper. An image's score
is the highest of its patches, as the official code has it; its script takes the mean of the highest
hundredth of the map. Beyond `expected` entries the official code takes places in the bank for
places among the expected ones; here `owner` leads from one to the other. The blur of 8 pixels is
for images of 480 pixels, those of `preset: paper`: whole ones, where the official code makes them
512 and cuts 480 out of the middle.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.coreset import coreset
from ad_models.epoch import check_epoch, epoch
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid
from ad_models.maps import finish
from ad_models.neighbours import nearest
from ad_models.patches import PatchEmbedding, check_positions, everything
from ad_models.run import Run


@dataclass(frozen=True)
class PniConfig:
    backbone: str = "wide_resnet101_2"  # section 4.2
    layers: tuple[str, ...] = ("layer2", "layer3")  # section 4.2
    neighbourhood: int = 5  # side of a patch, positions; official code
    ratio: float = 0.01  # of patches kept; section 4.2
    projected: int = 128  # dims in which the coreset is chosen; ours: 300 to 370 in official code
    expected: int = 2048  # first entries of the bank that the network tells apart; section 4.2
    window: int = 9  # side of what counts as around a patch or near a position; section 4.2
    hidden: int = 2048  # width of the network; section 4.2
    depth: int = 10  # its linear layers; section 4.2
    epochs: int = 15  # official code
    batches: int = 0  # of an epoch; 0: one pass over the patches
    lr: float = 1e-3  # of Adam, a tenth of it every 5 epochs; official code
    patches: int = 2048  # in a batch of the network; official code
    temperature: float = 2.0  # of its softmax; official code
    floor: float = 0.5  # probability below which a memory is ruled out, times the bank's size
    gamma: float = 0.99  # of the likelihood; equation 5
    sigma: float = 8.0  # blur of the final map, pixels; official code
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        check_epoch(self.batches)
        if not 0 < self.ratio <= 1:
            raise ConfigError(f"ratio must be above 0 and at most 1, got {self.ratio}")
        for name in ("neighbourhood", "window"):
            if getattr(self, name) % 2 == 0:
                raise ConfigError(f"{name} must be odd, got {getattr(self, name)}")
        if self.depth < 2:
            raise ConfigError(f"depth must be at least 2, got {self.depth}")
        for name in ("gamma", "temperature"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


class Expectation(nn.Module):
    """Which entry of the bank belongs in the middle of its surroundings: logits (..., M).

    A perceptron over all features of the window except the centre. Its first layer is a
    convolution, so whole maps can be processed without extracting windows. Its weights have the
    order of windows: the features of one position are adjacent.
    """

    def __init__(self, channels: int, config: PniConfig) -> None:
        super().__init__()
        width = config.hidden
        first = nn.Conv2d(channels, width, config.window, padding=config.window // 2)
        self.first = first.to(memory_format=torch.channels_last)
        self.middle = config.window // 2
        with torch.no_grad():  # it stays zero: the centre of every window trained on is zero
            self.first.weight[:, :, self.middle, self.middle] = 0
        layers = _active(width)
        for _ in range(config.depth - 2):
            layers += [nn.Linear(width, width), *_active(width)]
        self.rest = nn.Sequential(*layers, nn.Linear(width, config.expected))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, P, M) at every position of features (B, D, h, w)."""
        found = self.first(features).flatten(2).mT
        return self.rest(found.flatten(0, 1)).unflatten(0, (-1, found.shape[1]))

    def of_windows(self, windows: Tensor) -> Tensor:
        """Logits (K, M) in the middle of each of windows (K, window, window, D)."""
        windows[:, self.middle, self.middle] = 0
        weight = self.first.weight.movedim(1, -1).flatten(1)  # a view
        return self.rest(F.linear(windows.flatten(1), weight, self.first.bias))


class Windows:
    """The surroundings of the positions of features (B, D, h, w), with zeros outside the border."""

    def __init__(self, features: Tensor, window: int) -> None:
        count, dims, *grid = features.shape
        reach = window // 2
        self.rows, self.columns = (side + 2 * reach for side in grid)
        # whole positions are copied, so the features of one lie side by side
        padded = features.new_zeros(count, self.rows, self.columns, dims)
        padded[:, reach : reach + grid[0], reach : reach + grid[1]] = features.movedim(1, -1)
        self.flat = padded.flatten(0, 2)  # (B * rows * columns, D)
        steps = torch.arange(window, device=features.device)
        self.steps = steps[:, None] * self.columns + steps

    def around(self, image: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Windows (K, window, window, D) around K positions."""
        corner = (image * self.rows + y) * self.columns + x
        places = corner[:, None, None] + self.steps
        return self.flat.index_select(0, places.flatten()).unflatten(0, places.shape)


def _active(width: int) -> list[nn.Module]:
    return [nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.5)]


class Pni(Detector):
    Config = PniConfig
    reads_once = True
    reads_features = "pyramid"

    def __init__(self, config: PniConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        each = min(self.pyramid.channels)  # of each layer, as PatchCore
        self.patches = PatchEmbedding(self.pyramid.channels, config.neighbourhood, each)
        self.expectation = Expectation(self.patches.dims, config)
        self.register_buffer("bank", torch.empty(0))  # (N, D); its start is what to expect
        self.register_buffer("owner", torch.empty(0, dtype=torch.long))  # (N,) in 0..M-1
        self.register_buffer("here", torch.empty(0, dtype=torch.bool))  # (P, N): seen nearby

    def embed(self, images: Tensor) -> Tensor:
        """Patch embeddings (B, D, h, w)."""
        patches, grid = self.patches(self.pyramid(images))
        return patches.mT.unflatten(2, grid)

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        with torch.no_grad():
            features = everything(self.embed, loader, run, beside=1.5)  # (B, D, h, w)
            if not len(features):
                raise InputError("PNI needs at least 1 normal image")
            self.remember(features, run)
            index = torch.cat([nearest(one.flatten(1).mT, self.bank)[1][None] for one in features])
            grid = features.shape[-2:]
            chances = position_chances(
                index, grid, len(self.bank), self.config.window, self.config.neighbourhood // 2
            )
            self.here = chances > self.config.floor / len(self.bank)  # equation 7
        self.expect(features, self.owner_of(features), run)

    def remember(self, features: Tensor, run: Run) -> None:
        """Fill the bank with a coreset, the most distinct entries first."""
        config = self.config
        inner = trimmed(features, config.neighbourhood // 2)
        patches = inner.flatten(2).mT.flatten(0, 1)  # (B * P, D)
        count = max(1, round(features.shape[0] * features[0, 0].numel() * config.ratio))
        chosen = coreset(patches, count, config.projected, config.seed, run.tick("coreset"))
        self.bank = patches[chosen]
        self.owner = nearest(self.bank, self.bank[: config.expected])[1]

    def owner_of(self, features: Tensor) -> Tensor:
        """The entry (B, h, w) among the expected ones nearest to each patch."""
        few = self.bank[: self.config.expected]
        grid = features.shape[-2:]
        return torch.stack([nearest(f.flatten(1).mT, few)[1].unflatten(0, grid) for f in features])

    def expect(self, features: Tensor, owner: Tensor, run: Run) -> None:
        """Train the network on windows of features (B, D, h, w) to name `owner` (B, h, w), except
        in the middle of a window at the border, whose own patch reaches beyond the image."""
        config = self.config
        windows = Windows(features, config.window)
        optimiser = torch.optim.Adam(self.expectation.parameters(), config.lr)
        inside = trimmed(torch.arange(owner.numel()).view(owner.shape), config.neighbourhood // 2)
        places = inside.flatten()
        for done in run.epochs(config.epochs, self.expectation, optimiser, stage="expectation"):
            optimiser.param_groups[0]["lr"] = config.lr * 0.1 ** (done // 5)
            parts = places[torch.randperm(len(places))].split(config.patches)
            for part in run.steps(epoch(parts, config.batches)):
                if len(part) == 1 and len(places) > 1:
                    continue  # batch norm needs two
                at = torch.unravel_index(part, owner.shape)
                logits = self.expectation.of_windows(windows.around(*at))
                loss = F.cross_entropy(logits, owner[at])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)

    def forward(self, images: Tensor) -> Prediction:
        features = self.embed(images)
        grid = features.shape[-2:]
        patches = features.flatten(2).mT  # (B, P, D)
        check_positions(patches.shape[1], len(self.here), images)
        # |x|^2 is left out: it changes no order within a patch
        distances = self.bank.square().sum(1) - 2 * patches @ self.bank.mT  # (B, P, N)
        chances = (self.expectation(features) / self.config.temperature).softmax(dim=-1)
        around = (chances > self.config.floor / len(self.bank))[..., self.owner]
        scores = [self.score(patches, distances, allowed) for allowed in (around, self.here)]
        maps = ((scores[0] + scores[1]) / 2).unflatten(1, grid).unsqueeze(1)
        border = self.config.neighbourhood // 2  # their patches reach beyond the image
        inner = trimmed(maps, border)
        maps = F.pad(inner, (border,) * 4, mode="replicate")
        maps = finish(maps, images.shape[-2:], self.config.sigma)
        return Prediction(score=inner.amax(dim=(1, 2, 3)), map=maps)

    def score(self, patches: Tensor, distances: Tensor, allowed: Tensor) -> Tensor:
        """Minus the log likelihood (B, P) under the nearest allowed entry; the farthest of all
        always is (equations 4 and 5)."""
        farthest = distances >= distances.amax(dim=-1, keepdim=True)
        index = distances.masked_fill(~(allowed | farthest), torch.inf).argmin(dim=-1)
        distance = (patches - self.bank[index]).norm(dim=-1)
        return self.config.gamma * distance - math.log(self.config.gamma)


def trimmed(maps: Tensor, border: int) -> Tensor:
    """maps (..., h, w) without `border` positions on each side, if any remain."""
    for dim in (-2, -1):
        size = maps.shape[dim]
        if size <= 2 * border:
            raise InputError(f"the image gives {size} patches a side, PNI needs {2 * border + 1}")
        maps = maps.narrow(dim, border, size - 2 * border)
    return maps


def position_chances(
    index: Tensor, grid: torch.Size, entries: int, window: int, border: int
) -> Tensor:
    """How often each entry occurred within the window around each position: (P, N), rows sum to 1;
    a row is 0 where the window shows only what is not counted, `border` positions on each side.

    index (B, P): the entry nearest to each patch of each training image.
    """
    counts = torch.zeros(index.shape[1], entries, device=index.device)
    counts.scatter_add_(1, index.mT, torch.ones_like(index.mT, dtype=counts.dtype))
    maps = counts.mT.unflatten(1, grid).unsqueeze(1)  # (N, 1, h, w)
    maps = F.pad(trimmed(maps, border), (border,) * 4)
    near = F.avg_pool2d(maps, window, stride=1, padding=window // 2).flatten(1).mT
    return near / near.sum(dim=1, keepdim=True).clamp_min(torch.finfo(near.dtype).tiny)
