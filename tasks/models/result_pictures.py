"""Files of an evaluation for people: scores, curves, and small pictures of test images.

All pictures are in one file, exhibits.zip: DVC checks every file of a folder, and each test image
has two or three pictures.

    image/0007.webp     row 7 of scores.csv: the region of interest
    heat/0007.webp      its map in colours, from 0 (clear) to `map_top` of threshold.json
    edge_image/0000.webp, edge_heat/0000.webp   the same of good images that set the threshold
    rebuilt/0007.webp   the model's reconstruction, if it has one
    outlines.json       {"7": {"size": [width, height], "found": SVG path, "mask": SVG path}}
"""

import heapq
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from tasks.decisions.threshold import wrongness
from tasks.documents.threshold import Thresholds
from tasks.images.outlines import outline
from tasks.images.pictures import SIDE, encode_webp, map_colours, rgb_picture, shrink_picture
from tasks.metrics.image import roc_curve
from tasks.models.inspector import Inspector
from tasks.models.release_model import reported_mask
from tasks.workspace.files import write_bytes, write_rows

if TYPE_CHECKING:
    from tasks.models.figures import TestResult


class ResultPictures:
    """Collects pictures, in any order. With more than `limit`, the most wrong decisions stay, and
    of equally wrong ones the first rows."""

    def __init__(self, inspector: Inspector, decision: Thresholds, limit: int) -> None:
        self.inspector, self.decision, self.limit = inspector, decision, limit
        # a heap with the least wrong first: how wrong, the negative index
        self.kept: list[tuple[float, int, dict[str, Any]]] = []
        self.edge: list[dict[str, bytes]] = []

    def add(
        self,
        index: int,
        label: str,
        image: np.ndarray,
        score: float,
        map: np.ndarray,
        mask: np.ndarray | None,
    ) -> None:
        """Image (H, W, C) in 0..1; map and mask cover its region of interest."""
        place = wrongness(score, label, self.decision.threshold), -index
        if len(self.kept) < self.limit:
            heapq.heappush(self.kept, (*place, self._drawn(image, map, mask)))
        elif self.kept and place > self.kept[0][:2]:
            heapq.heapreplace(self.kept, (*place, self._drawn(image, map, mask)))

    def _drawn(self, image: np.ndarray, map: np.ndarray, mask: np.ndarray | None) -> dict[str, Any]:
        """Encoded pictures and outlines of one image."""
        seen, rebuilt = self.inspector.preprocess.view(image), self.inspector.reconstruct(image)
        thumbnail = shrink_picture(rgb_picture(seen), SIDE)
        size = thumbnail.size
        found = reported_mask(map, self.decision)
        made = (
            {}
            if rebuilt is None
            else {"rebuilt": encode_webp(shrink_picture(rgb_picture(rebuilt), SIDE))}
        )
        return made | {
            "image": encode_webp(thumbnail),
            "heat": encode_webp(map_colours(map, self.decision.map_top, SIDE // 2)),
            "outlines": {
                "size": size,
                "found": "" if found is None else outline(found, size),
                "mask": "" if mask is None else outline(mask, size),
            },
        }

    def add_edge(self, image: np.ndarray, map: np.ndarray | None) -> None:
        """The next image (H, W, C) in 0..1 at the edge; map (h, w): by a model that left it out."""
        seen = self.inspector.preprocess.view(image)
        drawn = {"edge_image": encode_webp(shrink_picture(rgb_picture(seen), SIDE))}
        if map is not None:
            native = self.inspector.preprocess.restore(map, seen.shape[:2])
            top = self.decision.map_top
            drawn["edge_heat"] = encode_webp(map_colours(native, top, SIDE // 2))
        self.edge.append(drawn)

    def write(self, path: Path) -> Path:
        """Equal pictures give equal bytes."""
        kept = sorted((-at, drawn) for _, at, drawn in self.kept)
        outlines = {index: drawn.pop("outlines") for index, drawn in kept}
        content = io.BytesIO()
        with ZipFile(content, "w", ZIP_STORED) as archive:
            archive.writestr(ZipInfo("outlines.json"), json.dumps(outlines))
            for index, drawn in [*kept, *enumerate(self.edge)]:
                for kind, data in sorted(drawn.items()):
                    archive.writestr(ZipInfo(f"{kind}/{index:04d}.webp"), data)
        return write_bytes(path, content.getvalue())


def write_scores(path: Path, result: "TestResult") -> None:
    """One row per test image. repr keeps all digits, so that a decision can be repeated."""
    columns = ("path", "label", "score", "decision", "has_mask")
    facts = zip(result.rows, result.scores, result.decisions, strict=True)
    rows = (
        (row["path"], row["label"], repr(score), decision, int(bool(row["mask"])))
        for row, score, decision in facts
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
    """Columns of equal length, one point per row."""
    points = zip(*columns, strict=True)
    write_rows(path, names, (dict(zip(names, point, strict=True)) for point in points))
