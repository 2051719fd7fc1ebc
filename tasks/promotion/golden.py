"""Golden images: test images on which a release is tried, here by the gate and elsewhere by a
self-test."""

import json
from pathlib import Path
from zipfile import ZipFile

import numpy as np

from tasks.decisions.threshold import classify_score
from tasks.documents.golden import GOLDEN, Golden, GoldenImage
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.spec.schema import Product
from tasks.store.base import Store
from tasks.store.fetch_release import fetch
from tasks.store.golden import golden_key
from tasks.workspace.files import read_rows
from tasks.workspace.paths import Workspace
from tasks.workspace.scratch import scratch_folder

COUNT = 32  # images that a shipped model scores before it may be promoted


def golden(scores: list[float], threshold: float, count: int = COUNT) -> list[int]:
    """Indices of the images to check: half nearest the threshold, half over the whole range."""
    order = sorted(range(len(scores)), key=lambda i: abs(scores[i] - threshold))
    near = order[: count // 2]
    rest = sorted(order[count // 2 :], key=lambda i: scores[i])
    picks = np.linspace(0, len(rest) - 1, min(len(rest), count - len(near))).round().astype(int)
    return sorted({*near, *(rest[i] for i in picks)})


def keep_golden(
    store: Store, workspace: Workspace, product: str, release: str, spec: Product
) -> bool:
    """Put golden images of a release beside it in the store; False where none are asked for, or
    one is gone.

    spec: `release.golden` says how many, `gates.parity` how much a score may differ.
    """
    if not spec.release.golden:
        return False
    folder = fetch(store, product, release, workspace.scratch / "releases")
    told = told_of(folder, release, spec)
    paths = [workspace.images(product) / one.path for one in told.images]
    if not all(path.is_file() for path in paths):
        return False
    with scratch_folder(workspace) as scratch:
        archive = scratch / "golden.zip"
        write_archive(archive, told, paths)
        store.put(golden_key(product, release), archive)
    return True


def told_of(folder: Path, release: str, spec: Product) -> Golden:
    """What the evaluation said of the golden images of a release in its folder."""
    rows = read_rows(folder / "scores.csv")
    accept, reject = Thresholds.read(folder / THRESHOLD).limits
    scores = [float(row["score"]) for row in rows]
    images = []
    for number, index in enumerate(golden(scores, reject, spec.release.golden)):
        path, score = rows[index]["path"], scores[index]
        name = f"{number:03d}{Path(path).suffix.lower()}"
        decision = classify_score(score, reject, accept)
        images.append(GoldenImage(file=name, path=path, score=score, decision=decision))
    tolerance = spec.gates.parity * max(abs(reject), 1e-12)
    return Golden(release=release, tolerance=tolerance, images=images)


def write_archive(archive: Path, told: Golden, paths: list[Path]) -> None:
    """golden.json and the images, as they are: they are compressed already."""
    with ZipFile(archive, "w") as file:
        file.writestr(GOLDEN, json.dumps(told.dump(), indent=1, allow_nan=False))
        for one, path in zip(told.images, paths, strict=True):
            file.write(path, one.file)
