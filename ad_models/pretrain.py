"""Train Drawnet on drawn pictures: `python -m ad_models.pretrain`. Hours on two cores.

What it learns is what PatchCore will ask of it (Roth et al., CVPR 2022): a patch of a defect is
farther from all patches of good pictures of its product than any good patch is. Each step takes
some products, a few good pictures of each as the memory, the others as questions. Beside this,
pictures of one product are to be alike among those of other products (supervised contrast, Khosla
et al., NeurIPS 2020), and defects are to be seen in a picture alone.

It goes on where it stopped. Nothing here has seen a photograph.
"""

import argparse
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ad_models.drawn.episodes import CROP, episode
from ad_models.drawn.shelf import DEFECTIVE, GOOD, PRODUCTS, Shelf, draw_files
from ad_models.drawnet import WEIGHTS, WIDTHS, Drawnet

REFERENCES = GOOD - 1  # good pictures of a product that are the memory
PICTURES = GOOD + DEFECTIVE
CELL = 8  # pixels of a patch
BANK, DEFECT_PATCHES, GOOD_PATCHES = 512, 96, 256  # patches of a product in a step, at most
DEFECT_SHARE = 0.25  # of a patch that is defective
REACH = 25  # pixels around a good patch without a defect
MARGIN = 1.0  # of the logarithms of squared distances
TEMPERATURE = 0.1  # of the contrast
WARM_UP = 100  # steps
FIRST = 100  # file; products before it are for trials
SAVED = 250  # steps from one checkpoint to the next


@dataclass(frozen=True)
class Recipe:
    steps: int = 10_000
    products: int = 8  # of a step
    lr: float = 4e-3
    decay: float = 1e-2
    contrast: float = 0.3  # weights of the other two tasks
    alone: float = 0.3
    seed: int = 0


class Learner(nn.Module):
    """Drawnet with what only its training needs."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Drawnet().to(memory_format=torch.channels_last)
        self.seen = nn.Conv2d(sum(WIDTHS), 1, 1)
        self.alike = nn.Sequential(nn.Linear(sum(WIDTHS), 256), nn.ReLU(), nn.Linear(256, 96))

    def maps(self, images: Tensor) -> list[Tensor]:
        """Of the three layers, in half precision where the processor is made for it."""
        x = images.contiguous(memory_format=torch.channels_last)
        found = []
        with torch.autocast(images.device.type, torch.bfloat16):
            for name, child in self.net.named_children():
                x = child(x)
                if name.startswith("layer"):
                    found.append(x)
        return [one.float() for one in found]

    def loss(
        self, images: Tensor, masks: Tensor, recipe: Recipe
    ) -> tuple[Tensor, dict[str, float]]:
        """Of the pictures of some products, PICTURES of each, one product after the other."""
        fine, middle, coarse = self.maps(images)
        size = middle.shape[-2:]
        share = F.interpolate(masks, size=size, mode="area").flatten(1)
        near = F.max_pool2d(masks, REACH, CELL, REACH // 2)[..., : size[0], : size[1]].flatten(1)
        patches = embedded(middle, coarse).unflatten(0, (-1, PICTURES))
        rank, order = self.ranked(patches, share, near)
        layers = [F.avg_pool2d(fine, 2), middle, F.interpolate(coarse, size=size)]
        answer = self.seen(torch.cat(layers, 1)).flatten(1)
        wanted = (share > DEFECT_SHARE).float()
        weight = torch.tensor(8.0)  # few patches are defective
        alone = F.binary_cross_entropy_with_logits(answer, wanted, pos_weight=weight)
        contrast = self.contrast(torch.cat([one.mean((2, 3)) for one in (fine, middle, coarse)], 1))
        total = rank + recipe.contrast * contrast + recipe.alone * alone
        parts = {"rank": rank, "right": order, "contrast": contrast, "alone": alone}
        return total, {name: float(value.detach()) for name, value in parts.items()}

    def ranked(self, patches: Tensor, share: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of pairs of a defective and a good patch of one product, and the share of pairs
        in the right order."""
        share, near = (one.unflatten(0, (-1, PICTURES)) for one in (share, near))
        floor = 1e-3 * patches.detach().square().mean()
        losses, rights = [], []
        for rows, parts, close in zip(patches, share, near, strict=True):
            bank = some(rows[:REFERENCES].flatten(0, 1), BANK)
            asked, covered = rows[REFERENCES:].flatten(0, 1), parts[REFERENCES:].flatten()
            defects = (covered > DEFECT_SHARE).nonzero().flatten()
            if not len(defects):
                defects = covered.topk(4).indices
            good = (close[REFERENCES:].flatten() == 0).nonzero().flatten()
            defects, good = some(defects, DEFECT_PATCHES), some(good, GOOD_PATCHES)
            far = torch.log(distances(asked[torch.cat([defects, good])], bank) + floor)
            bad, fine = far[: len(defects)], far[len(defects) :]
            if not len(fine):
                continue
            hard = torch.cat([fine, fine.topk(max(1, len(fine) // 8)).values])
            apart = bad[:, None] - hard
            losses.append(F.softplus(MARGIN - apart).mean())
            rights.append((apart > 0).float().mean())
        return torch.stack(losses).mean(), torch.stack(rights).mean()

    def contrast(self, pooled: Tensor) -> Tensor:
        """Of pictures (B, C): those of one product among those of all."""
        rows = F.normalize(self.alike(pooled), dim=1)
        product = torch.arange(len(rows)) // PICTURES
        itself = torch.eye(len(rows), dtype=torch.bool)
        alike = (product[:, None] == product) & ~itself
        chance = (rows @ rows.T / TEMPERATURE).masked_fill(itself, -1e9).log_softmax(1)
        return -(chance * alike).sum(1).div(alike.sum(1)).mean()


def embedded(middle: Tensor, coarse: Tensor) -> Tensor:
    """Patches (B, P, D) of two layers, with equal weights in the window: nearly PatchCore's, whose
    `PatchEmbedding` weights it by channel."""
    fine, wide = (F.avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in (middle, coarse))
    wide = F.interpolate(wide, size=fine.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([fine, wide], 1).flatten(2).mT


def distances(rows: Tensor, bank: Tensor) -> Tensor:
    """Squared distance to the two nearest, mean."""
    squares = rows.square().sum(1)[:, None] + bank.square().sum(1) - 2 * rows @ bank.T
    return squares.clamp_min(0).topk(2, dim=1, largest=False).values.mean(1)


def some(rows: Tensor, most: int) -> Tensor:
    return rows[torch.randperm(len(rows))[:most]]


def batch(shelf: Shelf, recipe: Recipe, step: int) -> tuple[Tensor, Tensor]:
    """Pictures and masks of a step; the same whenever it is asked for."""
    random = np.random.default_rng([recipe.seed, step])
    chosen = random.integers(len(shelf), size=recipe.products)
    found = [episode(shelf[number], random) for number in chosen]
    images, masks = map(torch.cat, zip(*found, strict=True))
    return images, masks


def batches(shelf: Shelf, recipe: Recipe, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Those of all steps from the first on, each prepared while the one before is learnt."""
    with ThreadPoolExecutor(1) as ahead:
        waiting = ahead.submit(batch, shelf, recipe, first)
        for step in range(first, recipe.steps):
            ready = waiting.result()
            if step + 1 < recipe.steps:
                waiting = ahead.submit(batch, shelf, recipe, step + 1)
            yield ready


def train(shelf: Shelf, recipe: Recipe, checkpoint: Path) -> Learner:
    """Train, or go on from the checkpoint. The same numbers whether it was stopped or not."""
    torch.manual_seed(recipe.seed)
    learner = Learner()
    optimiser = torch.optim.AdamW(learner.parameters(), lr=recipe.lr, weight_decay=recipe.decay)
    first = 0
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        learner.load_state_dict(state["learner"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
    means: dict[str, float] = {}
    for step, (images, masks) in enumerate(batches(shelf, recipe, first), start=first):
        torch.manual_seed(2**20 * recipe.seed + step)
        for group in optimiser.param_groups:
            group["lr"] = rate(step, recipe)
        loss, parts = learner.loss(images, masks, recipe)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 5.0)
        optimiser.step()
        means = {k: 0.98 * means.get(k, v) + 0.02 * v for k, v in parts.items()}
        if (step + 1) % SAVED == 0 or step + 1 == recipe.steps:
            state = {"learner": learner.state_dict(), "optimiser": optimiser.state_dict()}
            partial = checkpoint.with_suffix(".partial")
            torch.save(state | {"step": step + 1}, partial)
            partial.replace(checkpoint)
            told = ", ".join(f"{name} {value:.3f}" for name, value in means.items())
            print(f"{step + 1} of {recipe.steps} steps: {told}", flush=True)
    return learner


def rate(step: int, recipe: Recipe) -> float:
    """The learning rate: it rises for WARM_UP steps and falls by a half cosine."""
    falling = 0.5 + 0.5 * math.cos(math.pi * step / recipe.steps)
    return recipe.lr * min(1.0, (step + 1) / WARM_UP) * falling


def write(net: Drawnet, path: Path, about: str) -> None:
    """The weights in half precision."""
    state = {
        name: value.half().contiguous()
        for name, value in net.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    partial = path.with_suffix(".partial")
    save_file(state, partial, metadata={"about": about})
    partial.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = partial(parser.add_argument, type=int)
    add("--files", default=60, help=f"of {PRODUCTS} drawn products each")
    add("--steps", default=Recipe.steps)
    add("--seed", default=0)
    add("--workers", default=os.cpu_count() or 1, help="processes that draw")
    parser.add_argument("--folder", type=Path, default=Path(".pretrain"), help="pictures, state")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    asked = parser.parse_args()
    files = range(FIRST, FIRST + asked.files)
    for number, _ in enumerate(draw_files(asked.folder, files, asked.workers), start=1):
        print(f"drew {number} of {len(files)} files", flush=True)
    recipe = Recipe(steps=asked.steps, seed=asked.seed)
    checkpoint = asked.folder / f"{len(files)}-{recipe.steps}-{recipe.seed}.pt"
    learner = train(Shelf(asked.folder, files), recipe, checkpoint)
    drawn = f"{PRODUCTS * len(files)} drawn products of {CROP} pixels"
    about = f"{recipe.steps} steps on {drawn}, seed {recipe.seed}"
    write(learner.net, asked.out, about)
    print(f"{asked.out}: {about}")


if __name__ == "__main__":
    main()
