"""Published image AUROC of the algorithms on a ViT, beside what comes out here.

INSPECTLINE_WEIGHTS=FOLDER python tests/benchmarks/bench_vit.py ALGORITHM FOLDER... [--shots 1 2 4]
    [--draws 3] [--set size=252 backbone=vit_base_patch14_dinov2.lvd142m]

FOLDER: the products of MVTec AD or VisA, in MVTec AD layout. Each is fitted by itself, with the
paper's parameters: on so many good images, draw by draw the next ones by file name, as the papers
have it; Dinomaly, and with --shots 0 the others, on all of them. Printed are image and pixel AUROC
of each product, the mean over products and draws, and the figure that was published for it.
Dinomaly needs a GPU. AnomalyDINO masks the background of the products for which its paper does.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import yaml
from bench_regad import Tests, good, measure, tests

from ad_models import Batch, Run, create
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.spec.schema import Image

SEEN = {"anomalydino": 448, "subspacead": 672, "dinomaly": 392}  # side of the images, pixels
MASKED = ["capsule", "hazelnut", "pill", "screw", "toothbrush"]  # of MVTec AD, and all of VisA:
MASKED += ["candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1", "macaroni2"]
MASKED += ["pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"]
PUBLISHED = {  # image AUROC of MVTec AD and of VisA, by algorithm and shots
    ("anomalydino", 1): (0.966, 0.874),
    ("anomalydino", 2): (0.969, 0.897),
    ("anomalydino", 4): (0.977, 0.926),
    ("subspacead", 1): (0.971, 0.932),
    ("subspacead", 2): (0.975, 0.938),
    ("subspacead", 4): (0.980, 0.947),
    ("dinomaly", 0): (0.997, None),  # a model for each product, by anomalib
}


def once(
    options: argparse.Namespace, product: str, part: list, shown: Tests, side: int
) -> tuple[float, float]:
    """Image and pixel AUROC of a fit on these good images."""
    preprocess = Preprocess(Image(size=side))
    batches = [
        Batch(torch.stack([torch.from_numpy(preprocess(read_image(path))) for path in some]))
        for some in (part[at : at + 8] for at in range(0, len(part), 8))
    ]
    own = {"masked": product in MASKED} if options.algorithm == "anomalydino" else {}
    detector = create(options.algorithm, **own | options.set)
    detector.announce(len(part))
    run = Run(torch.device("cuda" if torch.cuda.is_available() else "cpu"), say=print)
    return measure(detector.fit(batches, run), shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=SEEN)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[])
    options = parser.parse_args()
    options.set = {k: yaml.safe_load(v) for k, v in (one.split("=", 1) for one in options.set)}
    side = options.set.get("size", SEEN[options.algorithm])
    for shots in [0] if options.algorithm == "dinomaly" else options.shots:
        found = []
        for folder in options.folders:
            paths, shown = good(folder), tests(folder, side)
            for draw in range(options.draws if shots else 1):
                part = paths[draw * shots : (draw + 1) * shots] if shots else paths
                found.append(once(options, folder.name, part, shown, side))
                image, pixel = found[-1]
                print(f"{folder.name}: {len(part)} images, draw {draw}: {image:.4f} {pixel:.4f}")
        image, pixel = np.mean(found, axis=0)
        mvtec, visa = PUBLISHED.get((options.algorithm, shots), (None, None))
        print(f"mean of {shots or 'all'} images: image {image:.4f}, pixel {pixel:.4f}; published "
              f"image AUROC of MVTec AD {mvtec}, of VisA {visa}")  # fmt: skip


if __name__ == "__main__":
    main()
