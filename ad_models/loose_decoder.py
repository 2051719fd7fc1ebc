"""A loose decoder that rebuilds the tokens of a frozen ViT: what both kinds of Dinomaly are.

Guo et al., CVPR 2025, https://arxiv.org/abs/2405.14325. The idea stands in `dinomaly`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ad_models.base import Batch, Detector, Prediction
from ad_models.epoch import epoch
from ad_models.errors import ConfigError
from ad_models.maps import highest, window
from ad_models.patches import Kept
from ad_models.run import Run
from ad_models.stable_adamw import StableAdamW
from ad_models.tokens import Size, Tokens, mean

EACH = 50  # steps after which a checkpoint may be written
SCORED = 256  # side of the map that image scores are taken from, pixels; official code
BLUR, SIGMA = 5, 4.0  # side and sigma of the Gaussian there, pixels; official code
LAYERS = {12: tuple(range(2, 10)), 24: tuple(range(4, 20, 2))}  # by depth; official code


@dataclass(frozen=True)
class LooseConfig:
    backbone: str = "vit_base_patch14_reg4_dinov2.lvd142m"  # official code; any plain ViT of timm
    blocks: tuple[int, ...] = ()  # to rebuild, from 0, in two halves; (): those of official code
    size: Size = 392  # pixels that the ViT sees, of a side or (height, width); official code
    dropout: float = 0.2  # of the bottleneck; official code (0.4 for Real-IAD)
    recentred: bool = False  # tokens minus the class token; Dinomaly2
    steps: int = 5000  # of one product; official code (10000 and more for many)
    batch: int = 16  # images a step; official code
    lr: float = 2e-3  # of StableAdamW, after the warmup; official code
    last_lr: float = 2e-4  # at the end, along a cosine; official code
    warmup: int = 100  # steps; official code
    weight_decay: float = 1e-4  # official code
    epsilon: float = 1e-8  # of StableAdamW; official code (1e-10 for many products)
    clip: float = 0.1  # norm of all gradients at most; official code
    mined: float = 0.9  # share of the points whose gradient shrinks, in the end; official code
    mining: int = 1000  # steps until it is that share; official code
    eased: float = 0.1  # their gradient shrinks to this; official code
    top: float = 0.01  # share of the map whose mean is the score of an image; official code
    weights: str = "pretrained"  # of the backbone; see ad_models.vit_weights
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.blocks) % 2:
            raise ConfigError(f"blocks must be two halves, got {len(self.blocks)}")
        for name in ("dropout", "mined", "eased", "top"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(f"{name} must lie in 0 to 1, got {getattr(self, name)}")
        if self.mining < 1:
            raise ConfigError(f"mining must be at least 1, got {self.mining}")
        for name in ("clip", "epsilon"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")


class LinearAttention(nn.Module):
    """Attention with elu + 1 in place of the softmax (Katharopoulos et al. 2020): products of keys
    and values are added up once for all queries. No query can choose a few of the tokens."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dims, 3 * dims)
        self.proj = nn.Linear(dims, dims)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = F.elu(parts[0]) + 1, F.elu(parts[1]) + 1, parts[2]  # (B, h, N, D / h)
        total = query @ key.sum(dim=2).unsqueeze(-1)  # (B, h, N, 1)
        return self.proj((query @ (key.mT @ value) / total).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """A transformer block of the decoder."""

    def __init__(self, dims: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dims, eps=1e-8)  # official code
        self.attention = LinearAttention(dims, heads)
        self.norm2 = nn.LayerNorm(dims, eps=1e-8)
        self.mlp = nn.Sequential(nn.Linear(dims, 4 * dims), nn.GELU(), nn.Linear(4 * dims, dims))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LooseDecoder(Detector):
    reads_once = True
    reads_features = "encoder"

    def __init__(self, config: LooseConfig) -> None:
        super().__init__(config)
        self.encoder = encoder_of(config)
        dims, heads = self.encoder.channels, self.encoder.heads
        self.bottleneck = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(dims, 4 * dims),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(4 * dims, dims),
            nn.Dropout(config.dropout),
        )
        count = sum(len(group) for group in self.encoder.groups)
        self.decoder = nn.ModuleList(Block(dims, heads) for _ in range(count))
        for module in (*self.bottleneck.modules(), *self.decoder.modules()):
            if isinstance(module, nn.Linear):  # official code
                nn.init.trunc_normal_(module.weight, std=0.01, a=-0.03, b=0.03)
                nn.init.zeros_(module.bias)

    def embed(self, images: Tensor) -> Tensor:
        """Tokens (B, 2, N, D) of each half of the blocks, their mean; prefix tokens first."""
        groups = torch.stack([one.squeeze(-1).mT for one in self.encoder(images)], dim=1)
        if not self.config.recentred:
            return groups
        return groups[:, :, self.encoder.prefixes :] - groups[:, :, :1]

    def rebuild(self, tokens: Tensor) -> Tensor:
        """The same (B, 2, N, D), rebuilt by the decoder; the first half by its last blocks."""
        x = self.bottleneck(tokens.mean(dim=1))
        found: list[Tensor] = []
        for block in self.decoder:
            x = block(x)
            found.insert(0, x)
        half = len(found) // 2
        return torch.stack([mean(found[:half]), mean(found[half:])], dim=1)

    def patches(self, tokens: Tensor) -> Tensor:
        """Tokens (B, 2, N, D) without those of a prefix: (B, 2, P, D)."""
        return tokens[:, :, tokens.shape[2] - self.encoder.grid.numel() :]

    def learn(self, loader: Iterable[Batch], run: Run) -> None:
        config = self.config
        self.encoder.tell(run)
        kept = Kept(self.embed, loader, run, config.batch)
        networks = nn.ModuleList([self.bottleneck, self.decoder])
        parameters = list(networks.parameters())
        decay, epsilon = config.weight_decay, config.epsilon
        optimiser = StableAdamW(parameters, config.lr, weight_decay=decay, epsilon=epsilon)
        for number in run.epochs(math.ceil(config.steps / EACH), networks, optimiser):
            first = number * EACH
            batches = run.steps(epoch(kept, min(EACH, config.steps - first)))
            for step, tokens in enumerate(batches, start=first):
                optimiser.param_groups[0]["lr"] = rate(step, config)
                wanted = self.patches(tokens)
                rebuilt = self.patches(run.mixed(self.rebuild, tokens))
                loss = loose_loss(wanted, rebuilt, mined(step, config), config.eased)
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, config.clip)
                optimiser.step()
                run.log(loss=loss)
        self.record = self.encoder.record | {"images": kept.count}

    def forward(self, images: Tensor) -> Prediction:
        tokens = self.embed(images)
        far = apart(self.patches(tokens), self.patches(self.rebuild(tokens)))  # (B, 2, P)
        coarse = far.unflatten(2, self.encoder.grid)
        size = self.encoder.size
        # align_corners, and this order: official code
        maps = F.interpolate(coarse, size=size, mode="bilinear", align_corners=True)
        maps = maps.mean(dim=1, keepdim=True)
        maps = blurred(F.interpolate(maps, size=(SCORED, SCORED), mode="bilinear"))
        full = F.interpolate(maps, size=tuple(images.shape[-2:]), mode="bilinear")
        return Prediction(score=highest(maps.flatten(1), self.config.top), map=full)


def encoder_of(config: LooseConfig) -> Tokens:
    """The frozen ViT, read in two halves of the blocks that are rebuilt."""

    def halves(depth: int) -> list[tuple[int, ...]]:
        chosen = config.blocks or LAYERS.get(depth, ())
        if not chosen:
            raise ConfigError(f"{config.backbone} has {depth} blocks: name those to be rebuilt")
        return [chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :]]

    return Tokens(config.backbone, halves, config.size, config.weights, prefix=True)


def rate(step: int, config: LooseConfig) -> float:
    """Learning rate of a step, from 0: up along a line from 0, down along a cosine."""
    if step < config.warmup:
        return config.lr * step / max(1, config.warmup - 1)
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.last_lr + (config.lr - config.last_lr) * (1 + math.cos(math.pi * done)) / 2


def mined(step: int, config: LooseConfig) -> float:
    """The share of the points whose gradient shrinks in a step."""
    return min(config.mined * step / config.mining, config.mined)


def apart(wanted: Tensor, rebuilt: Tensor) -> Tensor:
    """One minus the cosine of tokens (..., D): (...)."""
    return 1 - F.cosine_similarity(wanted, rebuilt, dim=-1)


def loose_loss(wanted: Tensor, rebuilt: Tensor, share: float, eased: float) -> Tensor:
    """One minus the cosine of tokens (B, G, P, D) of each image and group as one vector: the mean.

    Points of a group that are among the `share` best rebuilt of the batch get their gradient times
    `eased`.
    """
    far = apart(wanted, rebuilt).detach().transpose(0, 1).flatten(1)  # (G, B * P)
    hard = far.topk(max(1, int(far.shape[1] * (1 - share))), dim=1).values[:, -1]
    factors = torch.where(far < hard[:, None], eased, 1.0)
    factors = factors.unflatten(1, (len(wanted), -1)).transpose(0, 1).unsqueeze(-1)
    if rebuilt.requires_grad:
        rebuilt.register_hook(lambda gradient: gradient * factors)
    return (1 - F.cosine_similarity(wanted.flatten(2), rebuilt.flatten(2), dim=-1)).mean()


def blurred(maps: Tensor) -> Tensor:
    """Maps (B, 1, H, W) under a small Gaussian. Beyond the border are zeros, as in the official
    code, so that the rim counts less."""
    kernel = window(BLUR, SIGMA).to(maps)
    return F.conv2d(maps, kernel[None, None], padding=BLUR // 2)
