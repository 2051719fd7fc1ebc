"""What a person looks at after an evaluation: scores, curves, and pictures worth seeing."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.files import write_rows
from tasks.imaging.images import read_image
from tasks.imaging.pictures import save_jpeg, strip
from tasks.imaging.truth import mask_of
from tasks.inspector import Inspector
from tasks.metrics import roc_curve

if TYPE_CHECKING:
    from tasks.evaluate import TestResult

SHOWN = 8  # pictures kept of the worst misses and of the worst overkill


def draw(
    inspector: Inspector,
    images: Path,
    result: "TestResult",
    decision: dict[str, Any],
    folder: Path,
) -> dict[int, str]:
    """Pictures of the images worth seeing: index of the row -> path in the evaluation folder."""
    folder.mkdir()
    shown = {}
    for index in sorted(worth_seeing(result.rows, result.scores)):
        row = result.rows[index]
        image = read_image(images / row["path"])
        mask = mask_of(inspector.preprocess, images, row, image)
        picture = strip(
            inspector.preprocess.region(image),
            inspector.inspect(image).map,
            mask if mask is not None and mask.any() else None,
            decision["map_top"],
            decision["pixel_threshold"],
        )
        shown[index] = f"pictures/{index:04d}.jpg"
        save_jpeg(picture, folder / f"{index:04d}.jpg")
    return shown


def worth_seeing(rows: list[dict[str, str]], scores: list[float]) -> set[int]:
    """The lowest defects overall and of each type, their highest, and the highest good ones."""
    order = sorted(range(len(rows)), key=lambda i: scores[i])
    bad = [i for i in order if rows[i]["label"] != "good"]
    good = [i for i in order if rows[i]["label"] == "good"]
    chosen = {*bad[:SHOWN], *good[-SHOWN:], *good[:1]}
    for label in {row["label"] for row in rows} - {"good"}:
        mine = [i for i in bad if rows[i]["label"] == label]
        chosen |= {*mine[:2], mine[len(mine) // 2], mine[-1]}
    return chosen


def write_scores(path: Path, result: "TestResult", shown: dict[int, str]) -> None:
    """One row a test image. repr keeps every digit: a decision can be taken again from it."""
    columns = ("path", "label", "score", "decision", "has_mask", "picture")
    facts = zip(result.rows, result.scores, result.decisions, strict=True)
    rows = (
        (row["path"], row["label"], repr(score), decision, int(bool(row["mask"])), shown.get(i, ""))
        for i, (row, score, decision) in enumerate(facts)
    )
    write_rows(path, columns, (dict(zip(columns, row, strict=True)) for row in rows))


def write_curves(folder: Path, result: "TestResult") -> None:
    """roc.csv of images and pro.csv of pixels, for `dvc plots` and the report."""
    labels = [row["label"] != "good" for row in result.rows]
    both = any(labels) and not all(labels)
    roc = roc_curve(result.scores, labels) if both else ()
    write_points(folder / "roc.csv", ("fpr", "tpr", "threshold"), roc)
    write_points(folder / "pro.csv", ("fpr", "pro"), result.pro)


def write_points(path: Path, names: tuple[str, ...], columns: Iterable[np.ndarray]) -> None:
    """Columns of equal length, one point a row."""
    points = zip(*columns, strict=True)
    write_rows(path, names, (dict(zip(names, point, strict=True)) for point in points))
