"""What calibration scores cost: a fit with them against a fit without, CPU seconds.

INSPECTLINE_WEIGHTS=FILE python tests/benchmarks/bench_left_out.py FOLDER [--good 16 64]
                                             [--size 256] [--algorithms padim patchcore]

FOLDER: a product in MVTec AD layout, of which good training images are used. Decoding and the
backbone count in both. A first fit, which compiles and imports, is not timed.
"""

import argparse
import time
from pathlib import Path

from bench_few import Silent
from bench_promise import rows

from ad_models import Run
from tasks.models.fitting import FitJob
from tasks.models.left_out import left_out_scores
from tasks.spec.read import read_params
from tasks.spec.recipe import FitRecipe
from tasks.workspace.paths import PACKAGE


def job_of(folder: Path, algorithm: str, size: int) -> FitJob:
    """A fit with the parameters that a new workspace has."""
    params = read_params(PACKAGE)
    given = dict(params.algorithms[algorithm] or {})
    given |= (params.presets[given.pop("preset")][algorithm] or {}) if "preset" in given else {}
    recipe = FitRecipe.model_validate(
        {"parameters": given, "image": {"size": size}, "training": {}}
    )
    return FitJob(folder.name, algorithm, recipe, folder, Silent())


def measure(folder: Path, algorithm: str, count: int, size: int) -> tuple[float, float, str]:
    """CPU seconds of the fit, of the scores after it, and how these were found."""
    seen = rows(sorted((folder / "train" / "good").iterdir())[:count], folder)
    job = job_of(folder, algorithm, size)
    started = time.process_time()
    detector, _, _ = job.fit(seen, Run())
    fitted = time.process_time()
    _, how = left_out_scores(job, detector, seen, Run())
    return fitted - started, time.process_time() - fitted, how


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--good", nargs="*", type=int, default=[16, 64])
    parser.add_argument("--algorithms", nargs="*", default=["padim", "patchcore"])
    parser.add_argument("--size", type=int, default=256)
    options = parser.parse_args()
    for algorithm in options.algorithms:
        measure(options.folder, algorithm, 4, 64)
        for count in options.good:
            fit, scores, how = measure(options.folder, algorithm, count, options.size)
            print(
                f"{algorithm:<16} {count:>4} images: fit {fit:6.2f} s, scores {scores:6.2f} s"
                f" ({how}): {1 + scores / fit:.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
