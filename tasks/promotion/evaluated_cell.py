"""All that an evaluation says of a cell, read from its files."""

import json
from dataclasses import dataclass
from typing import Any

from tasks.documents.metrics import METRICS, Metrics
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.workspace.paths import Workspace


@dataclass(frozen=True)
class EvaluatedCell:
    metrics: Metrics
    thresholds: Thresholds | None
    details: dict[str, Any]

    @property
    def intervals(self) -> dict[str, list[float | None] | None]:
        """Name of a figure -> the ends of its 95 % interval."""
        return self.details.get("intervals", {})

    @property
    def edge(self) -> dict[str, Any]:
        """The good images that set the threshold; see tasks.decisions.edge."""
        return self.details.get("edge", {})


def read_cell(workspace: Workspace, product: str, algorithm: str) -> EvaluatedCell | None:
    """The evaluation of a cell; None where there is none."""
    folder = workspace.evaluation(product, algorithm)
    if not (folder / METRICS).is_file():
        return None
    path = folder / THRESHOLD
    return EvaluatedCell(
        Metrics.read(folder / METRICS),
        Thresholds.read(path) if path.is_file() else None,
        json.loads((folder / "details.json").read_text()),
    )
