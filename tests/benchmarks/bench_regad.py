"""RegAD on products that it never learned from, beside PaDiM on the same augmented support images.

python tests/benchmarks/bench_regad.py FOLDER... [--side 224] [--shots 2 4 8] [--draws 3]
    [--most 64] [--keep DIR] [--set epochs=5 lr=0.001]

FOLDER: products in MVTec AD layout. Each is left out in turn: RegAD learns from at most `most` good
images of each of the others, is calibrated on so many support images, drawn again a few times, and
scores the test images. Printed are image AUROC, pixel AUROC and AUPRO up to .3, means over the
draws, of RegAD, of the same network without any learning, of PaDiM with all channels, and of PaDiM
(100 channels) and PatchCore (10 %) on the support images themselves; all start from the same
weights. --keep saves what was learned, and goes on from there.
"""

import argparse
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from torch import Tensor

from ad_models import Batch, Detector, Run, create, load
from ad_models.algorithms.regad import variants
from tasks.images.loader import ImageLoader, MixedLoader
from tasks.images.masks import resize_mask
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image, read_mask
from tasks.metrics.image import image_metrics
from tasks.metrics.pixel import PixelMetrics
from tasks.spec.schema import Image


class Tests(NamedTuple):
    images: Tensor  # (N, 3, side, side)
    masks: list[np.ndarray]  # (side, side) each


def good(folder: Path) -> list[Path]:
    return sorted((folder / "train" / "good").iterdir())


@cache
def tests(folder: Path, side: int) -> Tests:
    preprocess = Preprocess(Image(size=side))
    images, masks = [], []
    for path in sorted((folder / "test").glob("*/*")):
        kind = path.parent.name
        images.append(torch.from_numpy(preprocess(read_image(path))))
        mask = np.zeros((side, side), bool)
        if kind != "good":
            truth = read_mask(folder / "ground_truth" / kind / f"{path.stem}_mask.png")
            mask = resize_mask(truth, (side, side))
        masks.append(mask)
    return Tests(torch.stack(images), masks)


def learned(left_out: Path, options: argparse.Namespace) -> Detector:
    """RegAD that has learned from all products but one."""
    kept = options.keep and options.keep / f"{left_out.name}.safetensors"
    if kept and kept.is_file():
        return load(kept)
    loaders = []
    for folder in options.folders:
        if folder != left_out:
            paths = good(folder)[:: max(1, len(good(folder)) // options.most)][: options.most]
            loaders.append(
                ImageLoader(paths, Preprocess(Image(size=options.side)), 16, True, folder.name)
            )
    torch.manual_seed(0)
    run = Run(report=lambda p: print(p.epoch, p.step, p.metrics, flush=True), report_every=60)
    detector = create("regad", **options.set).fit(MixedLoader(loaders), run)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        detector.save(kept)
    return detector


def calibrated(regad: Detector, support: Tensor, options: argparse.Namespace) -> Detector:
    regad.eval().calibrate([Batch(support)], Run())
    regad.fitted.fill_(True)
    return regad


def fitted(name: str, batches: list[Batch], options: argparse.Namespace, **more: Any) -> Detector:
    """Another algorithm, with RegAD's backbone."""
    backbone, weights = (options.set.get(k, v) for k, v in DEFAULTS)
    return create(name, backbone=backbone, weights=weights, **more).fit(batches)


DEFAULTS = (("backbone", "resnet18"), ("weights", "imagenet"))
FIGURES = ("image_auroc", "pixel_auroc", "aupro_30")
WAYS = ("regad", "unlearned", "padim on variants", "padim", "patchcore")


def measure(detector: Detector, shown: Tests) -> tuple[float, float, float]:
    """Image AUROC, pixel AUROC and AUPRO at the side that the algorithm sees."""
    labels = [bool(mask.any()) for mask in shown.masks]
    scores: list[float] = []
    with PixelMetrics(intervals=0) as metrics:
        for part in torch.arange(len(shown.images)).split(8):
            seen = detector.predict(shown.images[part])
            scores += seen.score.tolist()
            for at, heat in zip(part.tolist(), seen.map[:, 0].cpu().numpy(), strict=True):
                metrics.update(heat, shown.masks[at], "defect" if labels[at] else "good")
        pixels = metrics.compute()
    found = {**image_metrics(scores, labels), **pixels}
    auroc, pixel_auroc, aupro = (float(found[name] or 0) for name in FIGURES)
    return auroc, pixel_auroc, aupro


def rows(folder: Path, options: argparse.Namespace) -> Iterator[str]:
    """A line for each number of support images."""
    began = time.process_time()
    trained, fresh = learned(folder, options), create("regad", **options.set)
    taken = time.process_time() - began
    preprocess = Preprocess(Image(size=options.side))
    paths, shown = good(folder), tests(folder, options.side)
    for shots in options.shots:
        found = []
        for draw in range(options.draws):
            order = np.random.default_rng(draw).permutation(len(paths))[:shots]
            support = torch.from_numpy(np.stack([preprocess(read_image(paths[i])) for i in order]))
            for regad in (trained, fresh):
                object.__setattr__(regad.config, "shots", shots)
            turned = [Batch(variants(image[None])) for image in support]
            ways = (
                calibrated(trained, support, options),
                calibrated(fresh, support, options),
                fitted("padim", turned, options, dims=448),
                fitted("padim", [Batch(support)], options, dims=100),
                fitted("patchcore", [Batch(support)], options, ratio=0.1),
            )
            found.append([measure(way, shown) for way in ways])
        mean = np.mean(found, axis=0)
        spread = np.std(np.array(found)[:, 0, 0])
        told = "  ".join(
            f"{name} " + "/".join(f"{figure:.3f}" for figure in figures)
            for name, figures in zip(WAYS, mean, strict=True)
        )
        yield f"{folder.name:<14} k={shots}  {told}  +-{spread:.3f}  learned in {taken:.0f} CPU s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--shots", nargs="*", type=int, default=[2, 4, 8])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--most", type=int, default=64, help="images a product to learn from")
    parser.add_argument("--only", nargs="*", default=[], help="names of those to leave out")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--set", nargs="*", default=[], help="parameters, as name=value")
    options = parser.parse_args()
    given = dict(one.split("=", 1) for one in options.set)
    options.set = {name: yaml.safe_load(value) for name, value in given.items()}
    for folder in options.folders:
        if not options.only or folder.name in options.only:
            for row in rows(folder, options):
                print(row, flush=True)


if __name__ == "__main__":
    main()
