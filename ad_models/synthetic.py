"""Synthetic defects: place (Perlin masks), content (textures), visibility (blending).

The recipe is DRAEM's (Zavrtanik et al., ICCV 2021, section 3.2), which most later methods share:

    textures = Textures(folder=None)
    spoiled, masks = spoil(images, textures(len(images), images.shape[-2:], images.device))

All random numbers come from torch's CPU generator, for every device. `Detector.fit` seeds it and
checkpoints save it, so that fits are repeatable and resume exactly.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as alter

from ad_models.errors import ConfigError
from ad_models.pixels import normalised

TRIES = 50  # until a mask is not empty; official code of DiffusionAD
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
Size = Sequence[int]


def uniform(low: float, high: float, shape: Size, device: torch.device) -> Tensor:
    return (low + (high - low) * torch.rand(*shape)).to(device)


def grid(size: Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows (H, 1) and columns (1, W) of pixel centres, in pixels from the image's centre."""
    h, w = (torch.arange(n, device=device) - (n - 1) / 2 for n in size)
    return h.view(-1, 1), w.view(1, -1)


def turned(rows: Tensor, columns: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (B, H, W) in frames turned by angle (B,), radians."""
    c, s = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    return c * rows - s * columns, s * rows + c * columns


def perlin(count: int, size: Size, device: torch.device, finest: int = 5) -> Tensor:
    """Gradient noise (B, H, W), about -1..1, of 2^a by 2^b cells, a and b in 0..`finest`.

    Each image has its own a and b and is turned by up to 90 degrees either way. We rotate the
    coordinates, not the picture, so that no corner is empty.
    """
    cells = 2 ** torch.randint(0, finest + 1, (count, 2)).to(device)
    lattice = uniform(0, 2 * math.pi, (count, 2**finest + 1, 2**finest + 1), device)
    angle = uniform(-math.pi / 2, math.pi / 2, (count,), device)
    rows, columns = turned(*grid(size, device), angle)
    y = (rows / size[0] + 0.5) * cells[:, 0].view(-1, 1, 1)
    x = (columns / size[1] + 0.5) * cells[:, 1].view(-1, 1, 1)
    top, left = y.floor(), x.floor()
    y, x = y - top, x - left
    image = torch.arange(count, device=device).view(-1, 1, 1)

    def corner(down: int, right: int) -> Tensor:
        """Share of one corner of the cell: its gradient times the way from there."""
        i, j = (v.long() % lattice.shape[1] for v in (top + down, left + right))
        gradient = lattice[image, i, j]
        return gradient.cos() * (x - right) + gradient.sin() * (y - down)

    fade_y, fade_x = (t**3 * (t * (6 * t - 15) + 10) for t in (y, x))
    upper = torch.lerp(corner(0, 0), corner(0, 1), fade_x)
    lower = torch.lerp(corner(1, 0), corner(1, 1), fade_x)
    return math.sqrt(2) * torch.lerp(upper, lower, fade_y)


def perlin_masks(
    count: int,
    size: Size,
    device: torch.device,
    finest: int = 5,
    threshold: float = 0.5,
    foreground: Tensor | None = None,
) -> Tensor:
    """Masks (B, 1, H, W) in {0, 1}: where the noise is above `threshold`, inside `foreground`.

    An empty mask is drawn again; it may stay empty if the foreground (B, 1, H, W) is tiny.
    """
    inside = torch.ones(count, 1, *size, device=device) if foreground is None else foreground
    masks = torch.zeros(count, 1, *size, device=device)
    for _ in range(TRIES):
        empty = masks.flatten(1).amax(1).eq(0).nonzero().flatten()
        if not len(empty):
            break
        noise = perlin(len(empty), size, device, finest).unsqueeze(1)
        masks[empty] = (noise > threshold) * (inside[empty] > 0.5).float()
    return masks


def spoil(
    images: Tensor,
    sources: Tensor,
    share: float = 1.0,
    opacity: tuple[float, float] = (0.2, 1.0),
    finest: int = 5,
    foreground: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Paint defects on a `share` of the images: the changed images (B, 3, H, W) and masks (B, 1, H,
    W).

    `images` are ImageNet-normalised, `sources` (B, 3, H, W) colours in 0..1; the papers' beta, the
    visible share of the image, is 1 - opacity. Outside its mask an image does not change.
    """
    count, device = len(images), images.device
    masks = perlin_masks(count, images.shape[-2:], device, finest, foreground=foreground)
    masks = masks * (uniform(0, 1, (count, 1, 1, 1), device) < share)
    blended = torch.lerp(images, normalised(sources), uniform(*opacity, (count, 1, 1, 1), device))
    return torch.where(masks > 0, blended, images), masks


def clouds(count: int, size: Size, device: torch.device) -> Tensor:
    octaves = [perlin(count, size, device, finest) / 2**i for i, finest in enumerate((2, 4, 6))]
    return (0.5 + 0.5 * torch.stack(octaves).sum(0)).clamp(0, 1)


def waves(count: int, size: Size, device: torch.device) -> Tensor:
    """From straight stripes to marble, with growing warp."""
    angle, length, warp = (
        uniform(low, high, (count, 1, 1), device) for low, high in ((0, math.pi), (4, 64), (0, 6))
    )
    along, _ = turned(*grid(size, device), angle.flatten())
    phase = 2 * math.pi * along / length + warp * perlin(count, size, device, 3)
    return 0.5 + 0.5 * phase.sin()


def checks(count: int, size: Size, device: torch.device) -> Tensor:
    """Squares, bricks and weaves."""
    angle, height, width = (
        uniform(low, high, (count, 1, 1), device) for low, high in ((0, math.pi), (3, 32), (3, 32))
    )
    rows, columns = turned(*grid(size, device), angle.flatten())
    return ((rows / height).floor() + (columns / width).floor()) % 2


def stones(count: int, size: Size, device: torch.device, stones: int = 24) -> Tensor:
    """Distance to the nearest of some random points, in units of the largest."""
    rows, columns = grid(size, device)
    centres = uniform(-0.5, 0.5, (stones, 2, count, 1, 1), device)
    nearest = torch.full((count, *size), math.inf, device=device)
    for y, x in centres:
        nearest = torch.minimum(nearest, torch.hypot(rows - y * size[0], columns - x * size[1]))
    return nearest / nearest.amax((1, 2), keepdim=True).clamp_min(1)


def grains(count: int, size: Size, device: torch.device) -> Tensor:
    """Blocks of random brightness, from single pixels to a quarter of the image."""
    block = 2 ** int(torch.randint(0, 5, ()))
    coarse = [max(n // block, 4) for n in size]
    return F.interpolate(uniform(0, 1, (count, 1, *coarse), device), tuple(size))[:, 0]


KINDS: tuple[Callable[[int, Size, torch.device], Tensor], ...] = (
    clouds,
    waves,
    checks,
    stones,
    grains,
)


def drawn(count: int, size: Size, device: torch.device) -> Tensor:
    """Procedural textures (B, 3, H, W) in 0..1: a pattern of a random kind in three colours."""
    kinds = torch.randint(len(KINDS), (count,))
    field = torch.empty(count, 1, *size, device=device)
    for kind, pattern in enumerate(KINDS):
        which = (kinds == kind).nonzero().flatten()
        if len(which):
            field[which.to(device)] = pattern(len(which), size, device).unsqueeze(1)
    low, middle, high = uniform(0, 1, (3, count, 3, 1, 1), device)
    above = (2 * field - 1).clamp_min(0)
    below = (2 * field).clamp_max(1)
    return torch.lerp(torch.lerp(low, middle, below), high, above)


class Textures:
    """Draws textures (B, 3, H, W) in 0..1: from a folder of images, or procedural ones."""

    def __init__(self, folder: str | None = None) -> None:
        self.paths: list[Path] = []
        if folder is not None:
            self.paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in SUFFIXES)
            if not self.paths:
                raise ConfigError(f"textures: no images ({', '.join(SUFFIXES)}) under {folder}")

    def __call__(self, count: int, size: Size, device: torch.device) -> Tensor:
        if not self.paths:
            return drawn(count, size, device)
        chosen = torch.randint(len(self.paths), (count,)).tolist()
        return torch.stack([_read(self.paths[i], size) for i in chosen]).to(device)


def _read(path: Path, size: Size) -> Tensor:
    with Image.open(path) as image:
        return alter.to_tensor(image.convert("RGB").resize((size[1], size[0])))


def shuffled(images: Tensor, cells: int = 8) -> Tensor:
    """Images (B, 3, H, W) cut in `cells` by `cells` pieces, laid out in a random order."""
    height, width = images.shape[-2:]
    h, w = height // cells, width // cells
    pieces = F.unfold(images[..., : h * cells, : w * cells], (h, w), stride=(h, w))
    order = torch.stack([torch.randperm(cells * cells) for _ in images]).to(images.device)
    pieces = pieces.gather(2, order.unsqueeze(1).expand_as(pieces))
    whole = F.fold(pieces, (h * cells, w * cells), (h, w), stride=(h, w))
    return F.interpolate(whole, (height, width))  # the same unless sides leave a remainder


# Of one image (3, H, W) in 0..1 and a random number in 0..1
ALTERATIONS: tuple[Callable[[Tensor, float], Tensor], ...] = (
    lambda x, r: x ** (0.5 + 1.5 * r),  # gamma
    lambda x, r: (0.8 + 0.4 * r) * x + 0.24 * r - 0.12,  # brightness
    lambda x, r: alter.adjust_sharpness(x, 2 * r),
    lambda x, r: alter.adjust_hue(alter.adjust_saturation(x, 0.5 + r), r - 0.5),
    lambda x, r: torch.where(x > 0.2 + 0.6 * r, 1 - x, x),  # solarise
    lambda x, r: (x * 2 ** (1 + round(3 * r))).round() / 2 ** (1 + round(3 * r)),  # posterise
    lambda x, r: 1 - x,
    lambda x, r: alter.autocontrast(x),
    lambda x, r: alter.equalize((x * 255).byte()) / 255,
    lambda x, r: alter.rotate(x, 90 * r - 45),
)


def altered(images: Tensor, times: int = 3) -> Tensor:
    """Images (B, 3, H, W) in 0..1, each after `times` different random alterations (DRAEM)."""
    out = images.clone()
    for i in range(len(out)):
        for choice in torch.randperm(len(ALTERATIONS))[:times].tolist():
            out[i] = ALTERATIONS[choice](out[i], float(torch.rand(()))).clamp(0, 1)
    return out
