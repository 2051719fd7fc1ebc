"""The data page: counts, sizes, brightness, sharpness, repeats and doubtful labels of a product."""

import re
from collections import Counter
from itertools import groupby
from typing import Any

import numpy as np

from tasks.monitoring.findings import CONFIDENCE, chance, distance
from tasks.reporting.disagreements import doubtful_labels
from tasks.reporting.reading import csv_rows, finite_number, json_object, nested_object
from tasks.reporting.small_pictures import mask_outline
from tasks.reporting.store_history import evaluation_file
from tasks.reporting.view import DataView, JsonObject
from tasks.spec.corrections import read_corrections
from tasks.workspace.errors import LineError
from tasks.workspace.paths import Workspace

LOOKS = ("brightness", "sharpness")
REPEATS = ("near_duplicate", "duplicate")
TWIN = re.compile(r"same (?:picture|content) as (.+)$")
MASKS = 24  # drawn on the page
FEWEST = 10  # fewest images on each side of a comparison


def data_view(workspace: Workspace, product: str, notes: list[str]) -> DataView | None:
    """The data page of a product; None before its first validation."""
    place = workspace.validation(product)
    if not (place / "result.json").is_file():
        return None

    def source(name: str) -> bytes:
        return evaluation_file(place, name)

    result = json_object(source, "result.json", notes)
    rows = [row for row in csv_rows(source, "manifest.csv", notes) if not row.get("error")]
    findings = [
        {**item, "severe": name == "failures"}
        for name in ("failures", "warnings")
        for item in result.get(name) or []
    ]
    return DataView(
        passed=bool(result.get("passed")),
        counts=nested_object(result, "counts"),
        sizes=size_counts(rows),
        looks=[measure_groups(name, rows, nested_object(result, "ranges", name)) for name in LOOKS],
        shifts=[distribution_shift(name, rows) for name in LOOKS],
        duplicates=[pair for item in findings if (pair := duplicate_pair(item))],
        findings=[item for item in findings if not duplicate_pair(item)],
        corrections=corrected_labels(workspace, product, notes),
        doubtful=doubtful_or_note(workspace, product, notes),
        masks=mask_outlines(workspace, product, rows),
        paths=[row["path"] for row in rows],
    )


def mask_outlines(
    workspace: Workspace, product: str, rows: list[dict[str, str]]
) -> list[JsonObject]:
    """What the largest masks mark, to be drawn over their images: `size` (width, height) of the
    drawing and its SVG path."""
    images = workspace.images(product)
    masked = [row for row in rows if row.get("mask") and finite_number(row.get("mask_share"))]
    masked.sort(key=lambda row: (-float(row["mask_share"]), row["path"]))
    found = []
    for row in masked[:MASKS]:
        if drawn := mask_outline(images / row["mask"]):
            size, path = drawn
            share = float(row["mask_share"])
            found.append({"path": row["path"], "share": share, "size": size, "outline": path})
    return found


def size_counts(rows: list[dict[str, str]]) -> list[JsonObject]:
    """Number of images of each size."""
    found = Counter((row.get("width"), row.get("height")) for row in rows)
    return [{"width": w, "height": h, "images": n} for (w, h), n in found.most_common()]


def measure_groups(name: str, rows: list[dict[str, str]], usual: JsonObject) -> JsonObject:
    """One measure of every image: training, then test by label, each sorted by name."""
    order = sorted(rows, key=lambda row: (*sort_key(row)[:2], row["path"]))
    groups = [
        {
            "split": split,
            "label": label,
            "values": [v for row in part if (v := finite_number(row[name]))],
        }
        for (_, _, split, label), part in groupby(order, sort_key)
    ]
    return {"name": name, "groups": groups, "low": usual.get("low"), "high": usual.get("high")}


def sort_key(row: dict[str, str]) -> tuple[int, bool, str, str]:
    """Sort key: training first, then calibration and test, good images before defects."""
    split, label = row["split"], row["label"]
    return (
        ("train", "calibration").index(split) if split != "test" else 2,
        label != "good",
        split,
        label,
    )


def distribution_shift(name: str, rows: list[dict[str, str]]) -> JsonObject:
    """Distance of good test images from training images, beyond chance."""
    train, test = (
        np.array(
            [
                v
                for row in rows
                if (row["split"], row["label"]) == (split, "good")
                and (v := finite_number(row[name])) is not None
            ]
        )
        for split in ("train", "test")
    )
    known: dict[str, Any] = {"name": name, "train": len(train), "test": len(test)}
    if min(len(train), len(test)) < FEWEST:
        return known | {"certain": None, "distance": None}
    apart = distance(test, train)
    certain = max(0.0, apart - chance(len(test), len(train)))
    return known | {"certain": certain, "distance": apart, "confidence": CONFIDENCE}


def duplicate_pair(finding: JsonObject) -> JsonObject | None:
    """The pair of images in a finding about a repeated image."""
    other = TWIN.search(str(finding.get("reason", "")))
    if finding.get("check") not in REPEATS or other is None:
        return None
    return {"path": finding["file"], "other": other[1], "same": finding["check"] == "duplicate"}


def corrected_labels(workspace: Workspace, product: str, notes: list[str]) -> list[JsonObject]:
    """Corrected labels."""
    try:
        found = read_corrections(workspace.corrections(product))
    except LineError as error:
        notes.append(str(error))
        return []
    return [{"path": one.path, **one.entry.model_dump(exclude={"new"})} for one in found]


def doubtful_or_note(workspace: Workspace, product: str, notes: list[str]) -> list[JsonObject]:
    """Candidates for relabelling; a note if they cannot be found."""
    try:
        return doubtful_labels(workspace, product)
    except (LineError, ValueError, KeyError) as error:
        notes.append(f"doubtful labels cannot be found: {error}")
        return []
