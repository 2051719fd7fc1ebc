"""PatchCore: the distance to the nearest of a few remembered normal patches.

Roth et al., CVPR 2022, https://arxiv.org/abs/2106.08265

Idea (section 3): store the mid-level features of all normal patches, reduce them to a coreset that
still covers them, and score a patch by the distance to its nearest neighbour there. The position
has no influence, so parts may have any place and angle.

Differs from the paper: each layer is pooled to as many dimensions as the narrowest layer has
channels. This is the 1024 of the official code for WideResNet-50-2, and less for a smaller network.
The neighbour search is exact. Distances are not squared, as in the paper, while the official code
squares them: a map is blurred after that. The coreset starts at a drawn patch, the official one at
the patch farthest from ten drawn ones. Images of `preset: paper` are brought to 224 pixels, where
the paper makes them 256 and cuts 224 out of the middle: a rim is not seen there, and a part is a
little larger. If the patches of all images do not fit into `memory_budget`, they are stored on
disk, or each image is reduced separately first.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ad_models.base import PIXELS, Batch, Detector, Places, Prediction, blocks
from ad_models.budget import allowance, announced, disk, free, peak
from ad_models.coreset import project
from ad_models.coreset_without import without_each
from ad_models.errors import ConfigError, InputError
from ad_models.features import Pyramid
from ad_models.maps import finish
from ad_models.neighbours import Memory, around, nearest, nearest_with, scarcity
from ad_models.patches import PatchEmbedding, embedded
from ad_models.reservoir import FEWEST, Plan, Reservoir, plan
from ad_models.run import Run
from ad_models.search import Switch


@dataclass(frozen=True)
class PatchcoreConfig:
    backbone: str = "wide_resnet50_2"  # section 4.1
    layers: tuple[str, ...] = ("layer2", "layer3")  # section 3.1
    neighbourhood: int = 3  # side of a patch, positions; section 4.4.1
    unit: Switch = False  # patches of length 1: their angle counts, and contrast does not; ours
    ratio: float = 0.1  # of patches kept; table 1 (0.25, 0.1 and 0.01)
    bank_size: int | None = None  # patches kept, instead of a ratio; ours
    memory_budget: float | None = None  # GB a fit may take; None: half of what is free; ours
    two_stage: bool | None = None  # thin each image first, which is faster; False: never; None:
    # where the patches do not fit, or one stage would take long; ours
    projected: int = 128  # dims in which the coreset is chosen; official code
    reweight: Switch = False  # equation 7; the official code leaves it out
    reweight_neighbours: int = 9  # b in equation 7; ours: the paper gives none
    sigma: float = 4.0  # blur of the final map, pixels; section 3.3
    weights: str = "imagenet"  # of the backbone; see ad_models.weights
    seed: int = 0  # of the projection and the first coreset point

    def __post_init__(self) -> None:
        if not 0 < self.ratio <= 1:
            raise ConfigError(f"ratio must be above 0 and at most 1, got {self.ratio}")
        if self.bank_size is not None and self.bank_size < 1:
            raise ConfigError(f"bank_size must be at least 1, got {self.bank_size}")
        if self.memory_budget is not None and self.memory_budget <= 0:
            raise ConfigError(f"memory_budget must be above 0 GB, got {self.memory_budget}")
        if self.neighbourhood % 2 == 0:
            raise ConfigError(f"neighbourhood must be odd, got {self.neighbourhood}")
        if self.reweight_neighbours < 2:
            given = self.reweight_neighbours
            raise ConfigError(f"reweight_neighbours must be at least 2, got {given}")


class Patchcore(Detector):
    Config = PatchcoreConfig
    one_pass = reads_once = True
    reads_features = "pyramid"

    def __init__(self, config: PatchcoreConfig) -> None:
        super().__init__(config)
        self.pyramid = Pyramid(config.backbone, config.layers, config.weights)
        each = min(self.pyramid.channels)  # of each layer; 512 of WideResNet-50-2: official code
        self.patches = PatchEmbedding(self.pyramid.channels, config.neighbourhood, each)
        self.register_buffer("bank", torch.empty(0))  # (N, D)
        self.radius: Tensor  # all patches lie within it of the bank, in the projection
        self.register_buffer("radius", torch.tensor(0.0))
        self.register_buffer("around", torch.empty(0, dtype=torch.long))  # (N, b), equation 7
        # (N,): which patches of `learn` are the bank; None where not all were held
        self.chosen: Tensor | None = None

    def embed(self, images: Tensor) -> tuple[Tensor, torch.Size]:
        """Patch embeddings (B, P, D) and the grid (h, w) they form, P = h * w."""
        patches, grid = self.patches(self.pyramid(images))
        return F.normalize(patches, dim=-1) if self.config.unit else patches, grid

    @torch.no_grad()
    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        room, before = allowance(self.config.memory_budget, run.device), peak(run.device)
        reservoir = None
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                started = time.monotonic()
                patches, _ = self.embed(images)
                if reservoir is None:
                    working = max(peak(run.device) - before, 4 * patches.nbytes)
                    total = announced(loader, batch.image) or len(batch.image)
                    total *= patches.shape[1]
                    chosen = self.plan(total, patches, room - working, run)
                    each = (time.monotonic() - started) / len(images)
                    run.say(chosen.prospect(patches, each, working, room))
                    reservoir = Reservoir(chosen, self.config.seed, run.device)
                for image in patches:
                    reservoir.add(image)
        if reservoir is None:
            raise InputError("PatchCore needs at least 1 normal image")
        self.remember(reservoir, self.count(reservoir.seen), run)
        if reservoir.held == reservoir.seen and reservoir.plan.folder is None:
            self.chosen = reservoir.chosen

    def count(self, total: int) -> int:
        """Rows of the bank for `total` patches."""
        return min(total, self.config.bank_size or max(1, round(total * self.config.ratio)))

    def plan(self, total: int, patches: Tensor, room: int, run: Run) -> Plan:
        """How the bank is chosen within `room` bytes; patches (B, P, D)."""
        count, dims = self.count(total), patches.shape[-1]
        spare = disk(run.folder)
        narrow = self.config.projected
        return plan(count, total, dims, narrow, room, spare, self.config.two_stage)

    @torch.no_grad()
    def learn_more(self, loader: Iterable[Batch], run: Run) -> None:
        """Add the patches that the bank does not cover yet, then reduce it to its old size. All old
        and new patches are then within the new `radius` of the bank.
        """
        count, dims = self.bank.shape
        room = 2 * FEWEST * count  # more is thinned on the way, and counted in the radius
        held = Plan(count, room, dims, self.config.projected, room)
        reservoir = Reservoir(held, self.config.seed, run.device, slack=float(self.radius))
        reservoir.add(self.bank)
        narrow = project(self.bank, self.config.projected, self.config.seed)
        for batch in run.steps(loader):
            for images in blocks(batch.image):
                patches = self.embed(images)[0].flatten(0, 1)
                far, _ = nearest(project(patches, narrow.shape[1], self.config.seed), narrow)
                if (new := far > 1.0001 * self.radius).any():  # rounding is not news
                    reservoir.add(patches[new])
        if reservoir.seen > count:
            self.remember(reservoir, count, run)

    def remember(self, reservoir: Reservoir, count: int, run: Run) -> None:
        """Fill the bank with a coreset of the collected patches."""
        tick = run.tick("coreset")
        self.chosen = None
        self.bank, radius = reservoir.coreset(count, tick)
        self.radius = torch.tensor(radius, device=self.bank.device)
        self.record = {
            "bank": len(self.bank),
            "patches": reservoir.seen,
            "candidates": reservoir.held,
            "covering_radius": radius,
        }
        run.log(covering_radius=radius)
        tick(count, count)
        _, self.around = self.memory(self.bank)

    def forward(self, images: Tensor) -> Prediction:
        patches, grid = self.embed(images)
        return self.compare(patches, (self.bank, self.around), grid, images.shape[-2:])

    def memory(self, bank: Tensor) -> Memory:
        """A bank (N, D) with what equation 7 needs of it."""
        count = self.config.reweight_neighbours
        return bank, around(bank, count) if self.config.reweight else self.around

    def compare(
        self,
        patches: Tensor,
        memory: Memory,
        grid: torch.Size,
        side: torch.Size,
        known: tuple[Tensor, Tensor] | None = None,
    ) -> Prediction:
        """Score patches (B, P, D) that form a grid, of images with these sides. known: what
        `nearest` would give for them."""
        distance, neighbour = known or nearest(patches, memory[0])  # (B, P), equation 6
        score = distance.amax(dim=1)
        if self.config.reweight:
            score = score * scarcity(patches, distance, neighbour, memory)
        maps = finish(distance.unflatten(1, grid).unsqueeze(1), side, self.config.sigma)
        return Prediction(score=score, map=maps)

    def left_out(
        self, loader: Iterable[Batch], places: Places, run: Run
    ) -> Iterator[Prediction] | None:
        if self.chosen is None:
            return None
        total, dims = int(self.record["patches"]), self.bank.shape[1]
        taken = 4 * total * (dims + self.config.projected + 8)
        return self.by_others(loader, places, run) if taken < free(run.device) // 2 else None

    @torch.no_grad()
    def by_others(self, loader: Iterable[Batch], places: Places, run: Run) -> Iterator[Prediction]:
        """Predictions of each group by a bank of the patches of all other images, as large as the
        bank that ships: with fewer entries the scores would be higher than its."""
        images, total = sum(len(group) for group in places), int(self.record["patches"])
        rows = self.bank.new_empty(images, total // images, self.bank.shape[1])
        owner = torch.empty(rows.shape[:2], dtype=torch.long, device=rows.device)
        grid = side = torch.Size()
        for number, (group, batch) in enumerate(zip(places, run.steps(loader), strict=True)):
            rows[list(group)], grid = embedded(self.embed, batch.image)
            owner[list(group)] = number
            side = batch.image.shape[-2:]
        flat, tick = rows.flatten(0, 1), run.tick("left out")
        narrow = project(flat, self.config.projected, self.config.seed)
        chosen = self.chosen.to(flat.device)  # type: ignore[union-attr]
        banks = without_each(
            narrow,
            chosen,
            float(self.radius),
            owner.flatten(),
            lambda others: min(others, len(self.bank)),
            nearest=narrow is flat,  # else distances there are not those of the rows
        )
        split = max(1, PIXELS // (side[0] * side[1]))
        for number, (group, other) in enumerate(zip(places, banks, strict=True), start=1):
            tick(number, len(places))
            memory, found = self.memory(flat[other.rows]), []
            near = None if other.near is None else other.near.unflatten(0, rows.shape[:2])
            for at in torch.tensor(list(group)).split(split):
                part, known = rows[at], None
                if near is not None:
                    known = nearest_with(part, memory[0], near[at], other.added)
                found.append(self.compare(part, memory, grid, side, known))
            yield Prediction(*(torch.cat(parts) for parts in zip(*found, strict=True)))
