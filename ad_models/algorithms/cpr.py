"""CPR: find the most similar normal images, then compare with them position by position.

Li, Hu, Li, Chen and Hu, IEEE TIP 2024, https://arxiv.org/abs/2308.06748

Idea (section 3): a cascade of retrievals. Histograms of visual words in blocks find the ten
training images most similar to the query. Learned features compare each patch, by cosine, with
patches at nearly the same position of the ten images. Background patches count less. The features
are trained to agree on normal patches and to differ on synthetic defects and other places.

Differs from the paper: synthetic images are made while training, not 12,000 beforehand, and their
defects are cut to the foreground, where the official code drops whole components; components of any
size stay; lightness is changed in RGB. Where all pixels count, cells of other places are drawn with
replacement from the grid, and there the query is the first of the pair; the official code draws
normal pixels without replacement, and takes the reference first. The best of all references is
taken before the map is enlarged. Batch norms have torch's epsilon. The bank holds half precision.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid
from ad_models.maps import finish, smooth
from ad_models.patches import check_positions, everything
from ad_models.pixels import normalised, unit
from ad_models.retrieval import Retrieval, divergence, lowest
from ad_models.run import Run
from ad_models.synthetic import Textures, altered, shuffled, spoil, uniform

ROUND = 50  # steps between two checkpoints
AGREE, DIFFER = 0.8, -0.2  # cosines beyond which a pair costs nothing; equation 9
IMAGES = "all images with their features"
APART = 4 * math.sqrt(2)  # pixels between two different places; official code


@dataclass(frozen=True)
class CprConfig:
    backbone: str = "densenet201"  # section 4.2
    layers: tuple[str, ...] = ("features.denseblock1", "features.denseblock2")  # strides 4 and 8
    objects: bool = True  # False: textures, which have no background and no places
    words: int = 12  # visual words of the histograms; section 4.2
    retrieved: int = 10  # training images a query is compared with; section 4.2
    channels: int = 384  # of the local features; 64 is the paper's CPR-fast
    steps: int = 40_000  # section 4.2; 500 for textures
    batch: int = 32  # pairs; section 4.2
    points: int = 300  # of each kind, in a pair; official code
    lr: float = 1e-3  # of AdamW; section 4.2
    decay: float = 1e-2  # of AdamW; section 4.2
    textures: str | None = None  # a folder of images for defects; None: procedural ones
    sigma: float = 4.0  # blur of the final map, pixels; section 3.5
    top: int = 512  # pixels whose sum is the score; official code
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.layers) != 2:
            raise ConfigError(f"layers must be two, a fine and a coarse one, got {self.layers}")
        for name in ("words", "retrieved", "steps", "batch", "points", "top"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")


def _conv(channels: int, out: int, side: int = 1, *after: nn.Module) -> nn.Sequential:
    layer = nn.Conv2d(channels, out, side, padding=side // 2, bias=False)
    return nn.Sequential(layer, *after, nn.BatchNorm2d(out), nn.ReLU())


class Local(nn.Module):
    """Unit features (B, out, h, w) by which patches of one place are compared (section 3.3)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.narrow = _conv(channels, 192)
        pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
        self.inception = nn.ModuleList(
            [
                _conv(192, 64),
                nn.Sequential(_conv(192, 48), _conv(48, 64, 3)),
                _conv(192, 64),
                _conv(192, 64, 1, pool),  # the same as after the pool, of a third of the channels
            ]
        )
        self.last = nn.Conv2d(256, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.narrow(x)
        return F.normalize(self.last(torch.cat([branch(x) for branch in self.inception], dim=1)))


class Cpr(Detector):
    Config = CprConfig
    reads_once = True

    def __init__(self, config: CprConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        self.textures = Textures(config.textures)
        self.locals = nn.ModuleList(Local(c, config.channels) for c in self.pyramid.channels)
        self.retrieval = Retrieval(self.pyramid.channels[0], config.words)
        self.register_buffer("fine", torch.empty(0, dtype=torch.half))  # (N, C, h, w)
        self.register_buffer("coarse", torch.empty(0, dtype=torch.half))  # (N, C, h / 2, w / 2)

    # Training

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        with torch.no_grad():
            images = everything(lambda x: x, loader, run, self.held() / 3, IMAGES)
            if not len(images):
                raise InputError("CPR needs at least 1 normal image")
            self.describe(images)
        self.compare(images, run)
        self.eval()
        with torch.no_grad():
            parts = (self.local(self.pyramid(part)) for part in images.split(8))
            found = [[f.half() for f in part] for part in parts]
            self.fine, self.coarse = (torch.cat(f) for f in zip(*found, strict=True))

    def held(self) -> float:
        """Largest number of values per pixel that a fit holds besides the images: features of
        stride 4, four times, with two tables of words while retrieval learns, or the bank."""
        learning = (4 * self.pyramid.channels[0] + 2 * self.config.words) / 16
        return max(learning, self.config.channels * (1 / 16 + 1 / 64))

    def describe(self, images: Tensor) -> None:
        """Fill the data for retrieval."""
        fine = torch.cat([self.pyramid(part)[0] for part in images.split(8)])
        self.retrieval.learn(fine, self.config.objects, self.config.seed)

    def compare(self, images: Tensor, run: Run) -> None:
        """Train the local features on pairs of a synthetic defect image and a similar image."""
        config = self.config
        known_as, fronts = self.retrieval.histograms, self.retrieval.fronts
        unlike = divergence(known_as, known_as)
        unlike.fill_diagonal_(torch.inf)  # an image is its own best reference, so it is excluded
        alike = lowest(unlike, min(config.retrieved, max(1, len(images) - 1)))
        optimiser = torch.optim.AdamW(
            self.locals.parameters(), config.lr, weight_decay=config.decay
        )
        rounds = math.ceil(config.steps / ROUND)
        for done in run.epochs(rounds, self.locals, optimiser, stage="local"):
            steps = min(ROUND, config.steps - done * ROUND)
            for chosen in run.steps(list(torch.randint(len(images), (steps, config.batch)))):
                rank = torch.randint(alike.shape[1], chosen.shape).to(chosen.device)
                others = alike[chosen, rank]
                spoiled, masks = self.synthetic(images[chosen], fronts[chosen])
                with torch.no_grad():  # two passes: the memory is that of one
                    pairs = zip(
                        self.pyramid(spoiled), self.pyramid(relit(images[others])), strict=True
                    )
                    features = [torch.cat(pair) for pair in pairs]
                loss = self.loss(features, masks, fronts[chosen], fronts[others])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                run.log(loss=loss)

    def synthetic(self, images: Tensor, fronts: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), nine in ten of them with a defect, and its masks (B, 1, H, W)."""
        count, size, device = len(images), images.shape[-2:], images.device
        sources = self.textures(count, size, device)
        inside = None
        if self.config.objects:
            own = (torch.rand(count) < 0.5).nonzero().flatten().to(device)
            if len(own):
                sources[own] = shuffled(altered(unit(images[own]).clamp(0, 1)), 16)
            inside = F.interpolate(fronts, size, mode="bilinear", align_corners=False)
        spoiled, masks = spoil(images, sources, 0.9, (0.5, 1.0), foreground=inside)
        return relit(spoiled), masks

    def loss(self, features: list[Tensor], masks: Tensor, front: Tensor, other: Tensor) -> Tensor:
        """Loss of consecutive pairs in features [(2B, C, h, w)], summed over scales; equation 9."""
        front = torch.maximum(front, other)
        scales = zip(self.locals, features, strict=True)
        return torch.stack([self.at_scale(*one, masks, front) for one in scales]).sum()

    def at_scale(self, local: nn.Module, found: Tensor, masks: Tensor, front: Tensor) -> Tensor:
        """The loss of pairs at one scale: the same place of two normal images should agree; a
        defect, and another place, should differ from what it is paired with."""
        size, points = found.shape[-2:], self.config.points
        query, reference = local(found).flatten(2).chunk(2)  # (B, C, P)
        spoiled = F.adaptive_max_pool2d(masks, size).flatten(1)  # (B, P)
        same = drawn(emphasis(front, size) * (1 - spoiled), points)
        agree = (AGREE - cosine(query, reference, same, same)).clamp(min=0)
        defects = drawn(spoiled, points)
        apart = [(cosine(query, reference, defects, defects), spoiled.gather(1, defects))]
        if self.config.objects:
            away = elsewhere(same, size, masks.shape[-2] / size[0])
            one, other = found.flatten(2).chunk(2)
            weights = unlikeness(picked(one, same), picked(other, away))
            apart.append((cosine(query, reference, same, away), weights))
        weighted = torch.cat([(alike - DIFFER) * weight for alike, weight in apart], dim=1)
        number = torch.cat([weight for _, weight in apart], dim=1).sum().clamp(min=1)
        return agree.pow(3).mean() + weighted.clamp(min=0).pow(3).sum() / number

    def local(self, features: list[Tensor]) -> list[Tensor]:
        return [local(found) for local, found in zip(self.locals, features, strict=True)]

    # Inspection

    def forward(self, images: Tensor) -> Prediction:
        features = self.pyramid(images)
        like = self.retrieval.like(features[0], self.config.retrieved)
        fine, coarse = self.local(features)
        check_positions(fine[0, 0].numel(), self.fine[0, 0].numel(), images)
        front = self.retrieval.front(features[0])
        best = [torch.full_like(f[:, 0], -1.0) for f in (fine, coarse)]
        for one in like.unbind(1):  # (B,): one at a time, to save memory
            best[0] = torch.maximum(best[0], around(fine, self.fine[one].float()))
            best[1] = torch.maximum(best[1], (coarse * self.coarse[one].float()).sum(1))
            front = torch.maximum(front, self.retrieval.fronts[one])
        distances = 1 - best[1].unsqueeze(1)
        distances = F.interpolate(distances, fine.shape[-2:], mode="bilinear", align_corners=False)
        distances = distances + 1 - best[0].unsqueeze(1)
        size = images.shape[-2:]
        maps = finish(distances, size, 0)
        maps = smooth(maps * finish(front, size, 0), self.config.sigma)
        pixels = min(self.config.top, size[0] * size[1])
        return Prediction(score=maps.flatten(1).topk(pixels).values.sum(1), map=maps)


def relit(images: Tensor) -> Tensor:
    """Images (B, 3, H, W), three in ten of them lighter or darker, three in ten with salt and
    pepper."""
    count, device = len(images), images.device
    pixels = unit(images)
    some = (torch.rand(2, count, 1, 1, 1) < 0.3).to(device)
    lightness = uniform(0.9, 1.1, (count, 1, 1, 1), device)
    pixels = torch.where(some[0], pixels * lightness, pixels)
    share = uniform(0, 0.03, (count, 1, 1, 1), device) * some[1]
    drawn = uniform(0, 1, (count, 1, *images.shape[-2:]), device)
    pixels = torch.where(drawn < share, (drawn < share / 2).float(), pixels)
    return normalised(pixels.clamp(0, 1))


def around(query: Tensor, reference: Tensor) -> Tensor:
    """Highest cosine (B, h, w) of unit features (B, C, h, w) with those within one position."""
    height, width = query.shape[-2:]
    padded = F.pad(reference, (1, 1, 1, 1))
    inside = F.pad(torch.ones_like(query[:1, 0]), (1, 1, 1, 1))
    best = torch.full_like(query[:, 0], -1.0)
    for y in range(3):
        for x in range(3):
            window = slice(y, y + height), slice(x, x + width)
            found = (query * padded[:, :, window[0], window[1]]).sum(1)
            there = inside[:, window[0], window[1]] > 0
            best = torch.maximum(best, found.where(there, -1.0))
    return best


def emphasis(front: Tensor, size: torch.Size) -> Tensor:
    """Weights (B, P) of the positions of a grid: near 1 in the foreground (B, 1, h, w), softly."""
    weight = F.interpolate(front, size, mode="bilinear")
    return torch.sigmoid(10 * smooth(weight, size[0] / 25) - 5).flatten(1)


def drawn(weights: Tensor, count: int) -> Tensor:
    """Positions (B, count) drawn with weights (B, P); uniform if all weights are zero."""
    weights = torch.where(weights.sum(1, keepdim=True) > 0, weights, torch.ones_like(weights))
    # with the CPU's generator, like all random numbers here
    return weights.cpu().multinomial(count, replacement=True).to(weights.device)


def elsewhere(at: Tensor, size: torch.Size, stride: float) -> Tensor:
    """For each of the positions at (B, K) another position that is not a neighbour."""
    height, width = size
    y, x = at // width, at % width
    found = torch.randint(height * width, at.shape).to(at.device)
    away = torch.hypot((found // width - y).float(), (found % width - x).float()) * stride
    across = (y + height // 2) % height * width + (x + width // 2) % width
    return torch.where(away > APART, found, across)


def picked(features: Tensor, at: Tensor) -> Tensor:
    """features (B, C, P) at places (B, K): (B, C, K)."""
    return features.gather(2, at.unsqueeze(1).expand(-1, features.shape[1], -1))


def unlikeness(query: Tensor, reference: Tensor) -> Tensor:
    """Weights (B, K) of pairs of features (B, C, K): their squared distance, with mean 1 in each
    image (official code)."""
    unlike = (query - reference).square().sum(1)
    return unlike / unlike.mean(1, keepdim=True).clamp(min=1e-12)


def cosine(query: Tensor, reference: Tensor, at: Tensor, there: Tensor) -> Tensor:
    """Cosines (B, K) of unit features (B, C, P) between two sets of positions."""
    return (picked(query, at) * picked(reference, there)).sum(1)
