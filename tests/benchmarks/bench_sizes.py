"""What an algorithm finds at several sizes of image, stretched or padded.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_sizes.py FOLDER [stretch:288x224 ...]
    [--good 100] [--judged 120] [--algorithms patchcore padim] [--test]

FOLDER: a product in MVTec AD layout. A way is `stretch` or `pad` with height x width; without any,
the size that `new` proposes. The last quarter of the good training images, by the last number in
their names, is judged: as it is and with a painted defect. --test judges test images instead, drawn
at random: choose without it, and measure once with it. Times are CPU seconds of one thread. The
presets of the line, but for PatchCore's bank, which has 2048 patches at every size, chosen in 128
dims.
"""

import argparse
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ad_models import create
from tasks.images.loader import ImageLoader
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.metrics.image import image_metrics
from tasks.metrics.pixel import PixelMetrics
from tasks.models.painted import spoil
from tasks.products.image_summary import summarise_images
from tasks.spec.schema import Image as Spec

PRESETS = {
    "patchcore": {"backbone": "resnet18", "bank_size": 2048, "projected": 128},
    "padim": {"backbone": "resnet18", "dims": 100},
}
KEPT = 0.75  # of the good images, for the fit


class Judged(NamedTuple):
    image: np.ndarray  # (H, W, C) in 0..1
    mask: np.ndarray  # (H, W), where it is defective


def number(path: Path) -> tuple[int, str]:
    """Neighbours of a series are alike, and stay on one side."""
    found = re.findall(r"\d+", path.stem)
    return (int(found[-1]) if found else 0, path.name)


def split(root: Path) -> tuple[list[Path], list[Path]]:
    paths = sorted((root / "train/good").iterdir(), key=number)
    cut = int(KEPT * len(paths))
    return paths[:cut], paths[cut:]


def painted(path: Path, seed: int) -> Iterator[Judged]:
    """A good image as it is, and with a defect."""
    image = read_image(path)
    yield Judged(image, np.zeros(image.shape[:2], bool))
    pixels = np.round(255 * image).astype(np.uint8)
    mask = spoil(pixels, seed, None)
    yield Judged(pixels / np.float32(255), mask)


def tested(root: Path, path: Path) -> Judged:
    image = read_image(path)
    if path.parent.name == "good":
        return Judged(image, np.zeros(image.shape[:2], bool))
    place = root / "ground_truth" / path.parent.name
    with Image.open(place / f"{path.stem}_mask.png") as mask:
        return Judged(image, np.asarray(mask.convert("L")) > 127)


def judged(root: Path, held: list[Path], count: int, test: bool) -> list[Judged]:
    paths = sorted(root.glob("test/*/*")) if test else held
    chosen = random.Random(0).sample(paths, min(len(paths), count if test else count // 2))
    if test:
        return [tested(root, path) for path in chosen]
    return [one for seed, path in enumerate(chosen) for one in painted(path, seed)]


def told(algorithm: str, spec: Spec, paths: list[Path], images: list[Judged]) -> str:
    """The figures of one fit."""
    preprocess = Preprocess(spec)
    torch.manual_seed(0)
    detector = create(algorithm, **PRESETS[algorithm])
    started = time.process_time()
    detector.fit(ImageLoader(paths, preprocess, 8))
    fit = time.process_time() - started
    scores, spent = [], 0.0
    with PixelMetrics() as pixels:
        for image, mask in images:
            started = time.process_time()
            found = detector.predict(torch.from_numpy(preprocess(image))[None])
            scores.append(float(found.score))
            whole = preprocess.restore(found.map[0, 0].numpy(), mask.shape)
            spent += time.process_time() - started
            pixels.update(whole[None], mask[None])
        maps = pixels.compute()
    labels = np.array([bool(one.mask.any()) for one in images])
    auroc = image_metrics(np.array(scores), labels)["image_auroc"]
    return (
        f"image AUROC {auroc:.3f}  pixel AUROC {maps['pixel_auroc']:.3f}  AUPRO "
        f"{maps['aupro_30']:.3f}  fit {fit:.0f} s  {1000 * spent / len(images):.0f} ms an image"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("ways", nargs="*")
    parser.add_argument("--good", type=int, default=100)
    parser.add_argument("--judged", type=int, default=120)
    parser.add_argument("--algorithms", nargs="+", default=list(PRESETS))
    parser.add_argument("--test", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    first, held = split(options.folder)
    first = first + held if options.test else first
    first = random.Random(0).sample(first, min(len(first), options.good))
    images = judged(options.folder, held, options.judged, options.test)
    height, width = summarise_images(options.folder).size
    print(f"{options.folder.name}: {len(first)} good images, {len(images)} judged")
    for way in options.ways or [f"stretch:{height}x{width}"]:
        resize, _, size = way.partition(":")
        spec = Spec.model_validate({"resize": resize, "size": [int(n) for n in size.split("x")]})
        for algorithm in options.algorithms:
            print(f"{way:18}{algorithm:11}{told(algorithm, spec, first, images)}", flush=True)


if __name__ == "__main__":
    main()
