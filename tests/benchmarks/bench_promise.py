"""Whether a threshold from a handful of good images keeps its promise.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_promise.py FOLDER... [--good 2 4 8 16]
                              [--draws 8] [--size 128] [--algorithms padim patchcore]

FOLDER: products in MVTec AD layout, of which only good images are used. So many of the training
images are drawn at random, the threshold is set as the line sets it, and the good test images are
decided on. One draw says little, for the promise is one on average over draws; so it is held
against the mean over all, and the limit with confidence against how often a draw exceeds it.
"""

import argparse
import hashlib
import random
from pathlib import Path

import numpy as np
from bench_few import Silent

from ad_models import Run
from tasks.decisions.threshold import choose_threshold
from tasks.models.fitting import FitJob
from tasks.models.left_out import left_out_scores
from tasks.spec.read import read_params
from tasks.spec.recipe import FitRecipe
from tasks.spec.schema import ThresholdSpec
from tasks.workspace.paths import PACKAGE


def rows(paths: list[Path], root: Path) -> list[dict[str, str]]:
    """As a validation lists them."""
    return [
        {
            "path": str(path.relative_to(root)),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in paths
    ]


def draw(folder: Path, algorithm: str, count: int, size: int, seed: int) -> tuple[float, ...]:
    """Overkill on the good test images, what was promised on average and with confidence."""
    train = sorted((folder / "train" / "good").iterdir())
    seen = rows(sorted(random.Random(f"{folder.name} {seed}").sample(train, count)), folder)
    test = rows(sorted((folder / "test" / "good").iterdir()), folder)
    parameters = read_params(PACKAGE).algorithms[algorithm] or {}
    recipe = FitRecipe.model_validate(
        {"parameters": parameters, "image": {"size": size}, "training": {}}
    )
    job = FitJob(folder.name, algorithm, recipe, folder, Silent())
    detector, _, _ = job.fit(seen, Run())
    found, _ = left_out_scores(job, detector, seen, Run())
    normals = [float(row["score"]) for row in found]
    chosen = choose_threshold(ThresholdSpec(), normals)
    if chosen.value is None:
        return (np.nan,) * 3
    scores = np.array([float(row["score"]) for row in job.score(detector, test)])
    return float((scores > chosen.value).mean()), chosen.overkill_bound, chosen.overkill_upper


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--good", nargs="*", type=int, default=[2, 4, 8, 16])
    parser.add_argument("--algorithms", nargs="*", default=["padim", "patchcore"])
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--size", type=int, default=128)
    options = parser.parse_args()
    for algorithm in options.algorithms:
        for count in options.good:
            found = [
                draw(folder, algorithm, count, options.size, seed)
                for folder in options.folders
                for seed in range(options.draws)
            ]
            overkill, mean, most = np.array(found).T
            if np.isnan(overkill).all():
                print(f"{algorithm:<12} {count:>3} images: too few for a threshold", flush=True)
                continue
            print(
                f"{algorithm:<12} {count:>3} images, {len(found)} draws: overkill"
                f" {np.nanmean(overkill):.1%} of {np.nanmean(mean):.1%} promised;"
                f" {np.nanmean(overkill > most):.1%} of the draws above {np.nanmean(most):.1%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
