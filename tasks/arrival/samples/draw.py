"""Three sample products with exact masks, drawn by formula: nothing is downloaded or shipped.

A part is drawn once; its flaw is laid over it; both are photographed with the same light and the
same camera noise. So a mask is exactly where the flaw changed the picture.
"""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from tasks.arrival.samples import cap, plate, weave
from tasks.arrival.samples.shapes import Array, Canvas, Drawing, Flaw, canvas
from tasks.workspace.errors import DataError, SpecError, hint

Bytes = NDArray[np.uint8]
PRODUCTS: dict[str, ModuleType] = {
    "weave": weave,
    "plate": plate,
    "cap": cap,
}
FAINT = 0.08  # a flaw that covers less of a pixel than this leaves it alone


def draw_samples(
    folder: Path,
    size: int = 256,
    train: int = 40,
    good: int = 12,
    per_defect: int = 6,
    seed: int = 0,
    products: tuple[str, ...] = tuple(PRODUCTS),
) -> list[Path]:
    """The folders `folder/<product>`, each in the MVTec AD layout; the same bytes for a seed.

    train, good, per_defect: images to train on, good ones to test on, and of each kind of defect.
    """
    check_request(size, {"train": train, "good": good, "per_defect": per_defect}, products)
    targets = [folder / product for product in products]
    for target in targets:
        if target.exists() and any(target.iterdir()):
            raise DataError(f"{target} is not empty; choose another folder or remove it")
    counts = {"train/good": train, "test/good": good}

    def drawn(product: str, target: Path) -> None:
        draw_product(Series(product, size, seed), target, counts, per_defect)

    with ThreadPoolExecutor() as pool:  # numpy leaves other threads their turn
        list(pool.map(drawn, products, targets))
    return targets


@dataclass(frozen=True)
class Series:
    """Images of one product, all of this size in pixels, drawn from one seed."""

    product: str
    size: int
    seed: int


def draw_product(series: Series, target: Path, good: dict[str, int], per_defect: int) -> None:
    """Draw a product beside its folder and move it there when it is complete.

    good: how many good images go where.
    """
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    for place, count in good.items():
        for number in range(count):
            image, _, _ = draw_pair(series, place, number)
            save(image, part / place / f"{number:03}.png")
    for kind in PRODUCTS[series.product].DEFECTS:
        for number in range(per_defect):
            strength = 1 - number / max(per_defect - 1, 1)  # from obvious to moderately subtle
            _, image, mask = draw_pair(series, kind, number, strength)
            save(image, part / "test" / kind / f"{number:03}.png")
            truth = np.where(mask, 255, 0).astype(np.uint8)
            save(truth, part / "ground_truth" / kind / f"{number:03}_mask.png")
    part.replace(target)


def draw_pair(
    series: Series, kind: str, number: int, strength: float | None = None
) -> tuple[Bytes, Bytes, NDArray[np.bool_]]:
    """The same part without and with its flaw, (H, W, C), and the mask (H, W).

    kind: a defect of the product, or where a good image goes; strength: of the flaw, 0..1.
    """
    name = int.from_bytes(f"{series.product}/{kind}".encode(), "big")
    chance, flaw_chance, camera = np.random.default_rng([series.seed, name, number]).spawn(3)
    flaw = None if strength is None else Flaw(kind, strength, flaw_chance)
    at = canvas(series.size)
    drawing: Drawing = PRODUCTS[series.product].draw(at, chance, flaw)
    return photograph(at, drawing, camera)


def photograph(
    at: Canvas, drawing: Drawing, random: Generator
) -> tuple[Bytes, Bytes, NDArray[np.bool_]]:
    """What the camera sees of the clean and of the flawed part, and where they differ."""
    gain, tilt = random.normal(1, 0.018), random.normal(0, 0.025, 2)
    light = gain * (1 + tilt[0] * (at.x / 128 - 1) + tilt[1] * (at.y / 128 - 1))[..., None]
    noise = random.uniform(0.006, 0.010) * random.standard_normal(drawing.clean.shape)
    mask = drawing.alpha > FAINT
    alpha = np.where(mask, drawing.alpha, 0)[..., None]
    clean = develop(drawing.clean * light + noise)
    flawed = develop((drawing.clean + (drawing.flawed - drawing.clean) * alpha) * light + noise)
    # Inside a flaw a pixel may happen to keep its value; it moves by one grey level.
    same = mask & (clean == flawed).all(-1)
    flawed[same] = np.where(flawed[same] < 255, flawed[same] + 1, 254)
    return clean, flawed, mask


def develop(image: Array) -> Bytes:
    """Brightness 0..1 (H, W, C) as bytes."""
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


def save(image: Bytes, path: Path) -> None:
    """Write a grey or colour image (H, W, 1) or (H, W, 3), or a mask (H, W), as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image[..., 0] if image.shape[2:] == (1,) else image).save(path)


def check_request(size: int, counts: dict[str, int], products: tuple[str, ...]) -> None:
    """Refuse sizes, counts and products that cannot be drawn."""
    if not 64 <= size <= 2048:
        raise SpecError(f"size is {size}; give 64 to 2048 pixels")
    for name, count in counts.items():
        if not 1 <= count <= 999:
            raise SpecError(f"{name} is {count}; give 1 to 999 images")
    for product in products:
        if product not in PRODUCTS:
            raise SpecError(f"there is no sample product '{product}'; {hint(product, PRODUCTS)}")
