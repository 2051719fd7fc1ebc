"""CPU seconds of `evaluate` on large images with masks, and where they go.

python tests/benchmarks/bench_evaluate.py [--images 209] [--size 500 1260] [--profile] [--keep DIR]

Draws a product with two types of defects, fits PaDiM with random weights once, and evaluates it.
The hash is of all figures and pictures except the times: equal results have equal hashes. --profile
lists the functions with the most time of their own; --keep leaves the product in DIR for the next
call.
"""

import argparse
import cProfile
import hashlib
import json
import pstats
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).parents[2]))
from tasks.build.graph import recipes
from tasks.evaluate import evaluate
from tasks.fit import fit
from tasks.models import scoring
from tasks.workspace.files import sha256_of, write_rows
from tasks.workspace.paths import Workspace

PRODUCT, ALGORITHM = "band", "padim"
TRAIN = 12
PARAMS = {
    "defaults": {"algorithms": [ALGORITHM], "image": {"size": 256}},
    "algorithms": {ALGORITHM: {"backbone": "resnet18", "dims": 50, "weights": "random"}},
    "line": {"device": "cpu"},
}
COLUMNS = ("path", "split", "label", "mask", "sha256", "mask_share", "mask_regions")
TIMES = ("ms_per_image", "ms_p95", "latency_load", "fit_seconds", "peak_memory_mb")


class Silent:
    def report(self, *_: object, **__: object) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def should_stop(self) -> bool:
        return False


def draw(workspace: Workspace, count: int, size: tuple[int, int]) -> None:
    """Grain with a few bright spots; a quarter of the test images has one or two of them."""
    random = np.random.default_rng(0)
    rows = []
    for number in range(TRAIN + count):
        split = "train" if number < TRAIN else "test"
        label = "good" if split == "train" or number % 4 else ("spot", "line")[number // 4 % 2]
        path, mask = f"{split}/{label}/{number:03d}.png", np.zeros(size, bool)
        for _ in range(random.integers(1, 3) if label != "good" else 0):
            y, x = (int(random.integers(n // 8, n - n // 8)) for n in size)
            height, width = (10, 10) if label == "spot" else (3, 60)
            mask[y - height : y + height, x - width : x + width] = True
        grain = ndimage.zoom(random.standard_normal((size[0] // 4, size[1] // 4)), 4, order=1)
        grey = np.full(size, 128.0)
        grey[: grain.shape[0], : grain.shape[1]] += 12 * grain
        grey += 60 * mask + 3 * random.standard_normal(size)
        truth = f"ground_truth/{label}/{number:03d}_mask.png" if mask.any() else ""
        for name, pixels in ((path, grey.clip(0, 255)), (truth, 255 * mask)):
            if name:
                place = workspace.images(PRODUCT) / name
                place.parent.mkdir(parents=True, exist_ok=True)
                picture = Image.fromarray(pixels.astype(np.uint8))
                picture.convert("RGB" if name == path else "L").save(place, compress_level=6)
        facts = (sha256_of(workspace.images(PRODUCT) / path), mask.mean(), int(mask.any()))
        rows.append(dict(zip(COLUMNS, (path, split, label, truth, *facts), strict=True)))
    for split in ("train", "test"):
        chosen = [row for row in rows if row["split"] == split]
        write_rows(workspace.validation(PRODUCT) / f"{split}.csv", COLUMNS, chosen)


def prepare(root: Path, count: int, size: tuple[int, int]) -> Workspace:
    """A workspace with a fitted cell."""
    workspace = Workspace(root)
    if not workspace.model(PRODUCT, ALGORITHM).exists():
        workspace.validation(PRODUCT).mkdir(parents=True, exist_ok=True)
        (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
        (workspace.product(PRODUCT) / "product.yaml").write_text("")
        draw(workspace, count, size)
        recipes(workspace)
        fit(workspace, PRODUCT, ALGORITHM, Silent())  # type: ignore[arg-type]
    return workspace


def digest(folder: Path) -> str:
    """A hash of everything in an evaluation but the times."""
    total = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        if path.name == "metrics.json":
            figures = json.loads(content)
            content = json.dumps({k: figures[k] for k in figures if k not in TIMES}).encode()
        total.update(content)
    return total.hexdigest()[:12]


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=209)
    parser.add_argument("--size", type=int, nargs=2, default=(500, 1260))
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        workspace = prepare(options.keep or Path(scratch), options.images, tuple(options.size))
        profile = cProfile.Profile(time.process_time)
        before, started = cpu(), time.perf_counter()
        if options.profile:
            scoring.AHEAD = 0  # all in one thread: a profile sees no other
            profile.enable()
        folder = evaluate(workspace, PRODUCT, ALGORITHM, Silent())  # type: ignore[arg-type]
        profile.disable()
        taken, passed = cpu() - before, time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{taken:.1f} CPU s, {passed:.1f} s, {peak:.0f} MB, results {digest(folder)}")
        if options.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
