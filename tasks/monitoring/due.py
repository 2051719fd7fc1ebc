"""Whether enough has come for a product's next run: new images, new labels, or drift.

Images, labels, spec and code determine a cell. If none of them has changed since the last run,
there is nothing to train. So drift alone starts no run; with drift, any new image or label does.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tasks.images.layout import image_files, is_mask, layout_problem, pair_masks
from tasks.spec.corrections import DROP, Row, apply_corrections, read_corrections
from tasks.spec.read import read_product
from tasks.spec.schema import Retrain
from tasks.workspace.files import read_rows, write_json
from tasks.workspace.paths import Workspace


@dataclass(frozen=True)
class News:
    """What a product has that its last validation had not."""

    images: int  # that are new, or have a mask now
    relabelled: int  # images whose label was corrected, to drop them or otherwise

    def __bool__(self) -> bool:
        return self.images + self.relabelled > 0

    def __str__(self) -> str:
        parts = [(self.images, "new images"), (self.relabelled, "relabelled")]
        return ", ".join(f"{n} {what}" for n, what in parts if n) or "nothing new"


def due(
    workspace: Workspace, product: str, drifted: bool | None = None, arrived: bool = True
) -> str:
    """Why the product's next run is due, by its spec; empty where it is not.

    drifted: whether production has; None: what the last look at it noted. arrived: whether the
    number of new images is a reason.
    """
    rules = read_product(workspace.root, product).retrain
    rules = rules if arrived else rules.model_copy(update={"new_images": None})
    seen = bool(read_drift(workspace, product)) if drifted is None else drifted
    return reason(news(workspace, product), rules, seen)


def reason(news: News, rules: Retrain, drifted: bool) -> str:
    """Why a run is due, empty where it is not."""
    if rules.drift and drifted and news:
        return f"drift, {news}"
    limits = [(rules.new_images, news.images), (rules.relabelled, news.relabelled)]
    return str(news) if any(limit and n >= limit for limit, n in limits) else ""


def news(workspace: Workspace, product: str) -> News:
    """Images and corrections against the manifest of the last validation, if there was one."""
    manifest = workspace.validation(product) / "manifest.csv"
    before = {row["path"]: row for row in read_rows(manifest)} if manifest.is_file() else {}
    rows = _rows(workspace.images(product))
    now = {
        r["path"]: r
        for r in apply_corrections(rows, read_corrections(workspace.corrections(product)))
    }
    came = [r for p, r in now.items() if p not in before or (r["mask"] and not before[p]["mask"])]
    labels = {r["path"]: now[r["path"]]["label"] if r["path"] in now else DROP for r in rows}
    changed = [p for p, label in labels.items() if p in before and label != before[p]["label"]]
    return News(len(came), len(changed))


def _rows(images: Path) -> list[Row]:
    """Of each image what corrections read, as the folders have it."""
    paths = list(image_files(images)) if images.is_dir() else []
    masks, _ = pair_masks(paths)
    return [
        {"path": str(p), "split": p.parts[0], "label": p.parts[1], "mask": str(masks.get(p, ""))}
        for p in paths
        if not is_mask(p) and not layout_problem(p)
    ]


def note_drift(workspace: Workspace, product: str, drifted: list[str]) -> None:
    """Keep what has drifted, by name, for the next look."""
    write_json(_drift_path(workspace, product), drifted)


def read_drift(workspace: Workspace, product: str) -> list[str]:
    """What had drifted when it was last looked at."""
    path = _drift_path(workspace, product)
    return json.loads(path.read_text()) if path.is_file() else []


def _drift_path(workspace: Workspace, product: str) -> Path:
    return workspace.scratch / "drift" / f"{product}.json"
