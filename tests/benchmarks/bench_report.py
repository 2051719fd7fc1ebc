"""What the report of 1,000 test images costs: CPU seconds, size of the file, time to first paint.

    python tests/benchmarks/bench_report.py [--images 1000] [--models 3] [--photographs FOLDER]

Scores are drawn, pictures are real: sample parts of 512 x 512 pixels, or the photographs of a
folder, each a little lighter or darker than the last, so that no two are equal.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from ad_models import ALGORITHMS
from tasks.images.read_image import IMAGE_SUFFIXES, read_image
from tasks.models.result_pictures import ResultPictures
from tasks.report import write_report
from tasks.reporting.gather import gather
from tasks.reporting.page import render
from tasks.reporting.page_data import page_data
from tasks.store.releases import PICTURES_FILE
from tasks.workspace.paths import Workspace
from tests.browser import browser
from tests.tasks.workspaces import NoModel, cell, table, workspace

DECISION = {
    "threshold": 2.0,
    "pixel_threshold": 0.5,
    "map_top": 1.0,
    "region_min_area": 1,
    "region_opening": 0,
}
Rows = list[tuple[str, str, float, str]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--photographs", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = workspace(Path(folder) / "line")
        parts = photographs(asked.photographs or samples(Path(folder) / "samples"))
        for number, algorithm in enumerate(sorted(ALGORITHMS)[: asked.models]):
            rows = scored(asked.images, number)
            place = cell(made, algorithm=algorithm, rows=rows[:1], ms_per_image=10.0 + number)
            table(place / "scores.csv", "path,label,score,decision", rows)
            if number == 0:
                seconds = draw_pictures(parts, rows, place / PICTURES_FILE)
                print(f"pictures: {1000 * seconds / asked.images:.1f} CPU ms an image and model")
                first = place / PICTURES_FILE
            else:
                shutil.copy(first, place / PICTURES_FILE)  # drawing them takes minutes
        built(made)
        painted(write_report(made), Path(folder))


def samples(folder: Path) -> Path:
    """Drawn parts, without and with flaws."""
    from tasks.arrival.samples.draw import draw_samples

    draw_samples(folder, size=512, train=1, good=8, per_defect=4)
    return folder / "cap"


def photographs(folder: Path) -> list[np.ndarray]:
    """At most 40 images from below a folder."""
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES]
    chosen = [path for path in paths if "ground_truth" not in path.parts]
    return [read_image(path) for path in chosen[:: max(1, len(chosen) // 40)]]


def scored(images: int, seed: int) -> Rows:
    """Half of them defective, by three types; the threshold is 2."""
    random = np.random.default_rng(seed)
    labels = [("good", "crack", "good", "stain", "good", "scratch")[n % 6] for n in range(images)]
    scores = random.normal(1, 0.5, images) + 1.8 * (np.array(labels) != "good")
    return [
        (f"test/{label}/{n:05d}.png", label, float(score), "defect" if score > 2 else "good")
        for n, (label, score) in enumerate(zip(labels, scores, strict=True))
    ]


def draw_pictures(parts: list[np.ndarray], rows: Rows, path: Path) -> float:
    """CPU seconds of an evaluation for its pictures."""
    random = np.random.default_rng(0)
    model = NoModel()
    model.reconstruct = lambda image: None  # type: ignore[assignment, method-assign]
    pictures = ResultPictures(model, DECISION, len(rows))  # type: ignore[arg-type]
    seconds = 0.0
    for index, (_, label, score, _) in enumerate(rows):
        image = parts[index % len(parts)] * (0.8 + 0.2 * random.random())
        height, width = image.shape[:2]
        y, x = random.random(2) * (height, width)
        rows_, columns = np.ogrid[:height, :width]
        near = np.exp(-((rows_ - y) ** 2 + (columns - x) ** 2) / (0.01 * height * width))
        map = (0.2 + 0.3 * score * near).astype(np.float32)
        started = time.process_time()
        pictures.add(index, label, image, score, map, near > 0.7 if label != "good" else near > 2)
        seconds += time.process_time() - started
    started = time.process_time()
    pictures.write(path)
    return seconds + time.process_time() - started


def built(made: Workspace) -> None:
    """CPU seconds of the report's two steps, and its size."""
    started = time.process_time()
    view = gather(made)
    gathered = time.process_time()
    size = len(render(view).encode())
    print(f"gathered in {gathered - started:.2f} CPU s")
    print(f"rendered in {time.process_time() - gathered:.2f} CPU s, {size / 1e6:.1f} MB")
    left_out = page_data(view.products[0], 1, live=False).left_out
    print(f"{left_out} images have no picture because the file would be too large")


def painted(page: Path, folder: Path) -> None:
    """What a person waits for."""
    first = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    tiles = "document.querySelector('.page.shown .tiles img.image')?.naturalWidth"
    with browser(folder) as tab:
        tab.look(1280, 900)
        tab.open(page.as_uri())
        tab.wait(first)
        whole = tab.run("performance.timing.loadEventEnd - performance.timing.navigationStart")
        print(f"first paint after {tab.run(first):.0f} ms, all of the file after {whole} ms")
        started = time.monotonic()
        tab.run(f"location.hash = 'p/tile/{sorted(ALGORITHMS)[0]}'")
        tab.wait(tiles)
        print(f"a model's page with pictures after {1000 * (time.monotonic() - started):.0f} ms")


if __name__ == "__main__":
    main()
