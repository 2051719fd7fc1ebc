"""What the backbone in the box is worth, beside random and ImageNet weights of ResNet-18.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_drawnet.py FOLDER... [--size 256]
        [--good 128] [--algorithms patchcore padim] [--json OUT]

FOLDER: products in MVTec AD layout. The presets of the line; each backbone is fitted on the same
good images, at most --good of a product, drawn at random, and judged on all test images. `closed`:
how much of the gap between random and ImageNet weights drawnet closes. Times are CPU seconds of the
backbone alone, one thread, medians, the backbones in turn.
"""

import argparse
import json
import os
import random
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ad_models import create
from ad_models.features import Pyramid
from tasks.images.loader import ImageLoader
from tasks.images.preprocess import Preprocess
from tasks.metrics.image import image_metrics
from tasks.metrics.pixel import PixelMetrics
from tasks.spec.schema import Image as Spec

WAYS = {
    "random": {"backbone": "resnet18", "weights": "random"},
    "drawnet": {"backbone": "drawnet"},
    "imagenet": {"backbone": "resnet18"},
}
PRESETS = {
    "patchcore": {"ratio": 0.01, "projected": 384},
    "padim": {"dims": 100},
}
LAYERS = ("layer1", "layer2", "layer3")
BATCH = 8
GAPS = {"image_auroc": 0.5, "aupro": 0.0}  # what is compared, and what chance gives
HARDLY = 0.01


def loader(paths: list[Path], size: int) -> ImageLoader:
    return ImageLoader(paths, Preprocess(Spec(size=(size, size))), BATCH)


def mask_of(path: Path, root: Path, size: int) -> np.ndarray:
    """(size, size) of a test image, at the size of the maps."""
    if path.parent.name == "good":
        return np.zeros((size, size), bool)
    place = root / "ground_truth" / path.parent.name
    found = next(one for one in place.iterdir() if one.stem in (path.stem, f"{path.stem}_mask"))
    with Image.open(found) as image:
        return np.asarray(image.convert("L").resize((size, size), Image.Resampling.NEAREST)) > 127


def figures(
    algorithm: str, way: dict[str, Any], root: Path, size: int, good: int
) -> dict[str, float]:
    """Of one fit: image AUROC, AUPRO up to 0.3, entries of the bank and seconds of the fit."""
    torch.manual_seed(0)
    detector = create(algorithm, **PRESETS[algorithm], **way)
    started = time.process_time()
    train = sorted((root / "train/good").iterdir())
    train = random.Random(0).sample(train, min(good, len(train)))
    detector.fit(loader(train, size))
    seconds = time.process_time() - started
    paths = sorted(path for path in (root / "test").glob("*/*"))
    scores: list[float] = []
    with PixelMetrics() as pixels:
        for batch in loader(paths, size):
            found = detector.predict(batch.image)
            here = paths[len(scores) : len(scores) + len(found.score)]
            masks = np.stack([mask_of(path, root, size) for path in here])
            pixels.update(found.map[:, 0].numpy(), masks)
            scores += found.score.tolist()
        aupro = pixels.compute()["aupro_30"]
    labels = [path.parent.name != "good" for path in paths]
    return {
        "image_auroc": image_metrics(np.array(scores), np.array(labels))["image_auroc"],
        "aupro": aupro,
        "fit_s": seconds,
        "mb": sum(value.nbytes for value in detector.state_dict().values()) / 1e6,
    }


def milliseconds(size: int, rounds: int = 15) -> dict[str, float]:
    """CPU ms of an image in the backbone, one thread."""
    torch.set_num_threads(1)
    nets = {
        name: Pyramid(one["backbone"], LAYERS, "imagenet")
        for name, one in WAYS.items()
        if name != "random"
    }
    taken: dict[str, list[float]] = {name: [] for name in nets}
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        for _ in range(rounds):
            for name, net in nets.items():
                net(image)  # warm
                started = time.process_time()
                net(image)
                taken[name].append(1000 * (time.process_time() - started))
    torch.set_num_threads(os.cpu_count() or 1)
    return {name: statistics.median(times) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--good", type=int, default=128)
    parser.add_argument("--algorithms", nargs="+", default=list(PRESETS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print("CPU ms an image:", {k: round(v, 1) for k, v in milliseconds(options.size).items()})
    rows = []
    print(f"{'':26}" + "".join(f"{way:>18}" for way in WAYS) + "   closed")
    for algorithm in options.algorithms:
        for root in options.folders:
            found = {
                way: figures(algorithm, how, root, options.size, options.good)
                for way, how in WAYS.items()
            }
            for way, one in found.items():
                rows.append({"algorithm": algorithm, "product": root.name, "way": way, **one})
            told = "".join(told_figures(one) for one in found.values())
            shares = " ".join(closed(key, found) for key in GAPS)
            print(f"{algorithm:10}{root.name:16}{told}   {shares}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    means = {
        way: {
            key: float(np.mean([row[key] for row in rows if row["way"] == way]))
            for key in (*GAPS, "fit_s", "mb")
        }
        for way in WAYS
    }
    shares = " ".join(closed(key, means) for key in GAPS)
    print(f"{'mean':26}" + "".join(map(told_figures, means.values())) + f"   {shares}")
    print({way: {key: round(one[key], 1) for key in ("fit_s", "mb")} for way, one in means.items()})


def told_figures(one: dict[str, float]) -> str:
    return f"{one['image_auroc']:10.3f} / {one['aupro']:.3f}"


def closed(key: str, found: dict[str, dict[str, float]]) -> str:
    """Share of the gap; `-` where there is hardly one. Worse than chance is no way to go."""
    low, here, high = (found[way][key] for way in WAYS)
    low = max(low, GAPS[key])
    return f"{(here - low) / (high - low):6.0%}" if high - low > HARDLY else f"{'-':>6}"


if __name__ == "__main__":
    main()
