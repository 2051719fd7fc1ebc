"""The pictures of README and of these pages, from a workspace that `make demo` made.

    python docs/make_pictures.py demo docs/pictures

montage.jpg    good part | defect | heat map of the champion, a row for each product
predict.jpg    what `predict --maps` writes of one defect
report.jpg, model.jpg, board.jpg, phone.jpg    pages, as headless Chromium shows them
policies.png   where each policy puts the threshold, on scores that are drawn at random
"""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.decisions.threshold import choose_threshold
from tasks.images.decode import decode_image
from tasks.images.read_image import read_bytes
from tasks.models.release_model import ReleaseModel
from tasks.spec.policy_names import PolicyName
from tasks.spec.schema import Rule
from tasks.store.opening import locate
from tasks.workspace.paths import Workspace, find

SIDE, GAP, TITLE = 240, 8, 30  # pixels of a picture of the montage, between them, of the heads
HEADS = ("a good part", "a part with a defect", "what the champion sees")
DEFECTS = {"cap": "misprint", "plate": "missing_hole", "weave": "hole"}  # where a product has them
PAPER, INK, RULE = "white", (32, 36, 42), (205, 208, 212)
GOOD, BAD = (122, 154, 179), (190, 106, 52)
POLICY_LEFT = 200  # pixels for the words of a policy
POLICIES: dict[PolicyName, dict[str, float]] = {  # with what is set beside each
    "normal_quantile": {},
    "normal_tail": {},
    "max_overkill": {"overkill": 0.05},
    "min_cost": {},
    "max_miss": {},
    "f1_max": {},
    "fixed": {"value": 12.0},
}
JPEG: dict[str, Any] = {"quality": 82, "subsampling": 0, "optimize": True}  # letters stay sharp
PATIENCE = 90.0  # seconds for the board, and for a screenshot


def main(workspace: Path, target: Path) -> None:
    """Write all pictures into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    home = find(workspace)
    rows = [row(home, product) for product in home.products]
    montage(rows).save(target / "montage.jpg", **JPEG)
    policies(*drawn_scores()).save(target / "policies.png", optimize=True)
    explained(home, home.products[1]).save(target / "predict.jpg", **JPEG)
    report = max((home.root / "report").glob("*/report.html")).resolve().as_uri()
    product, algorithm = home.products[1], "patchcore"
    screenshot(report, target / "report.jpg", 1280, 1260)
    screenshot(f"{report}#p/{product}/{algorithm}", target / "model.jpg", 1280, 1500)
    screenshot(report, target / "phone.jpg", 412, 900)
    with board(home.root) as address:
        screenshot(address, target / "board.jpg", 1280, 900)


def row(workspace: Workspace, product: str) -> list[Image.Image]:
    """A good part, a defect, and the heat map of that by the champion."""
    model = ReleaseModel.load(locate(workspace.root, product), "cpu")
    seen = decode_image(read_bytes(path := defect(workspace, product)), path)
    heat = model.picture(seen.unit, model.inspector.inspect(seen.unit))
    good = min((workspace.images(product) / "test/good").iterdir())
    return [Image.open(good), Image.open(path), heat]


def explained(workspace: Workspace, product: str) -> Image.Image:
    """A picture of `predict --maps`."""
    model = ReleaseModel.load(locate(workspace.root, product), "cpu")
    seen = decode_image(read_bytes(path := defect(workspace, product)), path)
    return model.sheet(seen.unit, model.inspector.inspect(seen.unit))


def defect(workspace: Workspace, product: str) -> Path:
    """The first picture of the defect that is shown of a product."""
    test = workspace.images(product) / "test"
    folders = sorted(path for path in test.iterdir() if path.is_dir() and path.name != "good")
    wanted = test / DEFECTS.get(product, "")
    return min((wanted if wanted in folders else folders[0]).iterdir())


def montage(rows: list[list[Image.Image]]) -> Image.Image:
    """Pictures in rows, below the heads of their columns."""
    step = SIDE + GAP
    whole = Image.new("RGB", (len(HEADS) * step - GAP, len(rows) * step - GAP + TITLE), PAPER)
    pen, font = ImageDraw.Draw(whole), ImageFont.load_default(17)
    for column, head in enumerate(HEADS):
        pen.text((column * step + 2, 4), head, INK, font)
        for line, pictures in enumerate(rows):
            shown = pictures[column].convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            whole.paste(shown, (column * step, line * step + TITLE))
    return whole


def drawn_scores() -> tuple[np.ndarray, np.ndarray]:
    """Scores of 120 good parts, two of them odd, and of 12 defects, three of them faint."""
    random = np.random.default_rng(4)
    good = np.r_[random.lognormal(1.6, 0.22, 118), 9.6, 10.4]
    return good, np.r_[random.normal(14.0, 2.2, 10), 8.3, 9.1]


def policies(good: np.ndarray, bad: np.ndarray) -> Image.Image:
    """A row for each policy: good parts as points above, defects below, and its threshold."""
    top, wide, high = max(good.max(), bad.max()) * 1.03, 640, 64
    whole = Image.new("RGB", (POLICY_LEFT + wide + 10, high * len(POLICIES) + TITLE), PAPER)
    pen, font, small = ImageDraw.Draw(whole), *map(ImageFont.load_default, (16, 14))
    pen.text((POLICY_LEFT, 4), "score: good parts above, defects below the line", INK, small)
    for number, (policy, more) in enumerate(POLICIES.items()):
        middle = TITLE + high * number + high // 2
        found = choose_threshold(Rule(policy=policy, **more), good, bad)
        assert found.value is not None
        at = POLICY_LEFT + wide * found.value / top
        pen.line((POLICY_LEFT, middle, POLICY_LEFT + wide, middle), RULE)
        for scores, colour, side in ((good, GOOD, -1), (bad, BAD, 1)):
            for place, score in enumerate(np.sort(scores)):
                x, y = POLICY_LEFT + wide * score / top, middle + side * (7 + 5 * (place % 3))
                pen.ellipse((x - 3, y - 3, x + 3, y + 3), colour)
        pen.line((at, middle - 26, at, middle + 26), INK, 2)
        rejected, missed = (good > found.value).sum(), (bad <= found.value).sum()
        pen.text((2, middle - 19), policy, INK, font)
        pen.text((2, middle + 3), f"rejects {rejected} good, misses {missed}", INK, small)
    return whole


@contextmanager
def board(workspace: Path) -> Iterator[str]:
    """The address of a board of the workspace, which runs inside."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    words = ["-w", str(workspace), "board", "--port", address.rpartition(":")[2]]
    running = subprocess.Popen([sys.executable, "-m", "flows.cli", *words])
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                urlopen(address, timeout=5).close()
                break
            except (URLError, TimeoutError):
                time.sleep(0.5)
        yield address
    finally:
        running.terminate()
        running.wait()


def screenshot(address: str, target: Path, width: int, height: int) -> None:
    """What Chromium shows of a page, in a window of this size."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("Chromium is not installed; install it, then run again")
    flags = ["--headless", "--no-sandbox", "--hide-scrollbars", "--virtual-time-budget=8000"]
    flags += ["--run-all-compositor-stages-before-draw", "--disable-checker-imaging"]
    shot = target.with_suffix(".png")
    shown = [f"--screenshot={shot}", f"--window-size={width},{height}", address]
    subprocess.run([chromium, *flags, *shown], check=True, timeout=PATIENCE, capture_output=True)
    with Image.open(shot) as picture:
        picture.convert("RGB").save(target, **JPEG)
    shot.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
