"""AnomalyDINO: the cosine distance to the nearest token of a few normal images.

Damm et al., WACV 2025, https://arxiv.org/abs/2405.14529

Idea: tokens of a self-supervised ViT (DINOv2) are so telling that they need neither
training nor adaptation. The tokens of one to a few normal images, which are also turned by eights
of a circle, are the memory. A token of an image is as anomalous as it is far from the nearest one
there; the image, as its 1 % of tokens that are farthest.

Differs from the paper: the ViT sees `size` pixels whatever the shape of the image, where the
official code resizes the shorter side and crops the other to a multiple of the patch; images of
`preset: paper` have 448 pixels already; what becomes of the shape is up to who prepares images.
They are turned after they were resized. With `turned_below` images or more they are not turned, and
beyond `bank_size` tokens a coreset of them is kept. The background is masked in two dimensions, the
official code grows its mask along rows alone; where nothing is taken for the part, nothing is
masked.

Published image AUROC with 1, 2 and 4 images (DINOv2-S, 448 pixels, turned): MVTec AD .966, .969,
.977, with `masked` for capsule, hazelnut, pill, screw and toothbrush; VisA .874, .897, .926, with
`masked` for all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import PIXELS, Batch, Detector, Places, Prediction, blocks
from ad_models.budget import free
from ad_models.coreset import cover, project
from ad_models.coreset_without import without_each
from ad_models.errors import ConfigError, InputError
from ad_models.foreground import foreground
from ad_models.maps import finish, highest
from ad_models.neighbours import nearest
from ad_models.patches import everything
from ad_models.run import Run
from ad_models.tokens import Size, Tokens, Turned

SAME = 1e-3  # largest distance of two unit vectors that rounding explains


@dataclass(frozen=True)
class AnomalydinoConfig:
    backbone: str = "vit_small_patch14_dinov2.lvd142m"  # official code; any plain ViT of timm
    size: Size = 448  # pixels that the ViT sees, of a side or (height, width); official code
    block: int = -1  # whose output is compared, after the final norm; official code
    turns: int = 8  # of each image, by even angles; official code, "agnostic"
    turned_below: int = 17  # images; from so many on they are not turned; ours
    bank_size: int = 32768  # tokens kept: of 4 turned images of 448 pixels, all; ours
    projected: int = 128  # dims in which a coreset is chosen; as PatchCore
    masked: bool = False  # whether the background counts as normal; official code
    top: float = 0.01  # share of the tokens whose mean is the score of an image; official code
    sigma: float = 4.0  # blur of the final map, pixels; official code
    weights: str = "pretrained"  # of the backbone; see ad_models.vit_weights
    seed: int = 0  # of the projection and the first coreset point

    def __post_init__(self) -> None:
        for name in ("turns", "bank_size", "projected"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.top <= 1:
            raise ConfigError(f"top must lie in 0 to 1, got {self.top}")


class Anomalydino(Detector):
    Config = AnomalydinoConfig
    one_pass = reads_once = True
    reads_features = "turned"

    def __init__(self, config: AnomalydinoConfig) -> None:
        super().__init__(config)
        self.turned = Turned(
            Tokens(config.backbone, ((config.block,),), config.size, config.weights, norm=True)
        )
        self.announce(1)
        self.register_buffer("bank", torch.empty(0))  # (N, D), unit vectors
        self.radius: Tensor  # all tokens lie within it of the bank, in the projection
        self.register_buffer("radius", torch.tensor(0.0))
        # (N,): which tokens of `learn` are the bank, in the order of their choice, if not all
        self.chosen: Tensor | None = None
        self.seen = 0  # tokens of `learn`; 0: it is not what made the bank

    def announce(self, images: int) -> None:
        few = images < self.config.turned_below
        self.turned.turns.fill_(self.config.turns if few else 1)

    def embed(self, images: Tensor) -> Tensor:
        """Unit tokens (B, T * P, D) of images and their T - 1 turned copies, themselves first."""
        return torch.cat([unit(maps) for maps in self.turned(images)], dim=1)

    @torch.no_grad()
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        self.turned.tokens.tell(run)
        rows = everything(self.embed, loader, run, beside=1, what="the tokens of all images")
        if not len(rows):
            raise InputError("AnomalyDINO needs at least 1 normal image")
        self.remember(rows.flatten(0, 1), 0.0, run)
        self.seen = rows.shape[0] * rows.shape[1]

    def remember(self, tokens: Tensor, slack: float, run: Run) -> None:
        """Keep tokens (N, D), or a coreset of them where the bank is smaller. slack: largest
        distance of other tokens that count as known from these."""
        count, tick = min(len(tokens), self.config.bank_size), run.tick("coreset")
        self.chosen, radius = None, 0.0
        self.record = self.turned.tokens.record | {"tokens": len(tokens), "bank": count}
        self.record["turns"] = int(self.turned.turns)
        if count < len(tokens):
            narrow = project(tokens, self.config.projected, self.config.seed)
            self.chosen, radius = cover(narrow, count, self.config.seed, tick)
            tokens = tokens[self.chosen.to(tokens.device)]
        tick(count, count)
        self.bank, self.radius = tokens, tokens.new_tensor(slack + radius)

    @torch.no_grad()
    def learn_more(self, loader: Iterable[Batch], run: Run) -> None:
        """Add the tokens that the bank does not cover yet, then reduce it to `bank_size`."""
        kept, slack = [self.bank], float(self.radius)
        narrow = project(self.bank, self.config.projected, self.config.seed)
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                tokens = self.embed(images).flatten(0, 1)
                seen = project(tokens, self.config.projected, self.config.seed)
                kept.append(tokens[nearest(seen, narrow)[0] > 1.0001 * slack + SAME])
        self.remember(torch.cat(kept), slack, run)
        self.seen = 0

    def forward(self, images: Tensor) -> Prediction:
        (maps,) = self.turned.tokens(images)[:1]
        return self.compare(unit(maps), self.shown(maps), self.bank, images.shape[-2:])

    def shown(self, maps: Tensor) -> Tensor:
        """1 for tokens that count and 0 for others (B, P), from tokens (B, D, h, w)."""
        kept = foreground(maps) if self.config.masked else torch.ones_like(maps[:, 0])
        return kept.flatten(1)

    def compare(self, tokens: Tensor, shown: Tensor, bank: Tensor, size: torch.Size) -> Prediction:
        """Score unit tokens (B, P, D) by their distance to a bank (N, D), for images of a size."""
        distance, _ = nearest(tokens, bank)
        cosine = shown * distance.square() / 2  # of unit vectors: 1 minus the largest product
        grid = self.turned.tokens.grid
        maps = finish(cosine.unflatten(1, grid).unsqueeze(1), size, self.config.sigma)
        return Prediction(score=highest(cosine, self.config.top), map=maps)

    def left_out(
        self, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Prediction] | None:
        taken = 3 * 4 * self.seen * (self.bank.shape[1] + self.config.projected)
        fits = 0 < taken < free(run.device) // 2
        return self.by_others(loader, places, run) if fits else None

    @torch.no_grad()
    def by_others(self, loader: Iterable[Batch], places: Places, run: Run) -> Iterator[Prediction]:
        """Predictions of each group by a bank of the tokens of all other images; their turned
        copies leave with them. A coreset is as large as the one that ships."""
        count, own = sum(len(group) for group in places), self.turned.tokens.grid.numel()
        rows = self.bank.new_empty(count, self.seen // count, self.bank.shape[1])
        owner = torch.empty(rows.shape[:2], dtype=torch.long, device=rows.device)
        shown, size = rows.new_empty(count, own), torch.Size()
        for number, (group, batch) in enumerate(zip(places, run.steps(loader), strict=True)):
            maps = [self.turned(images) for images in blocks(batch.image)]
            rows[list(group)] = torch.cat([torch.cat([*map(unit, one)], dim=1) for one in maps])
            shown[list(group)] = torch.cat([self.shown(plain) for plain, *_ in maps])
            owner[list(group)], size = number, batch.image.shape[-2:]
        banks = self.banks_without(rows.flatten(0, 1), owner.flatten(), len(places))
        tick, each = run.tick("left out"), max(1, PIXELS // (size[0] * size[1]))
        for number, (group, bank) in enumerate(zip(places, banks, strict=True), start=1):
            tick(number, len(places))
            parts = torch.tensor(list(group)).split(each)
            found = [self.compare(rows[at, :own], shown[at], bank, size) for at in parts]
            yield Prediction(*(torch.cat(one) for one in zip(*found, strict=True)))

    def banks_without(self, tokens: Tensor, owner: Tensor, groups: int) -> Iterator[Tensor]:
        """For each group a bank of the tokens (N, D) of the others."""
        if self.chosen is None:
            return (tokens[owner != group] for group in range(groups))
        narrow = project(tokens, self.config.projected, self.config.seed)
        chosen, size = self.chosen.to(tokens.device), len(self.bank)
        radius = float(self.radius)
        found = without_each(narrow, chosen, radius, owner, lambda others: min(others, size))
        return (tokens[one.rows] for one in found)


def unit(maps: Tensor) -> Tensor:
    """Tokens (B, P, D) of length 1, from maps (B, D, h, w)."""
    return F.normalize(maps.flatten(2).mT, dim=-1)
