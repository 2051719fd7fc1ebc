"""A loaded release: decision, displayed score, regions and picture from its model's output."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tasks.decisions.display import Display
from tasks.decisions.map_regions import find_map_regions
from tasks.decisions.threshold import decide
from tasks.images.pictures import heat_map
from tasks.models.device import choose_device
from tasks.models.inspector import Inspection, Inspector
from tasks.workspace.errors import StoreError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ReleaseModel:
    """Decides with the raw score: above the threshold an image is a defect."""

    inspector: Inspector
    decision: dict[str, Any]  # threshold.json

    @classmethod
    def load(cls, folder: Path, device: str) -> Self:
        """Load a release from its folder."""
        decision = read_decision(folder)
        return cls(Inspector.load(folder, str(choose_device(device))), decision)

    @property
    def limits(self) -> tuple[float, float]:
        """Raw scores up to which a part is accepted, and above which it is rejected."""
        reject = self.decision["threshold"]
        return self.decision.get("accept", reject), reject  # older releases have one threshold

    def result(self, found: Inspection) -> dict[str, Any]:
        """Everything that is reported for an image, ready for JSON."""
        accept, reject = self.limits
        display = Display(reject, display_span(self.decision))
        return {
            "score": found.score,
            "threshold": reject,
            "accept": accept,
            "decision": decide(found.score, reject, accept),
            "displayed": display.score(found.score),
            "displayed_text": display.text(found.score, 1),
            "regions": reported_regions(
                found.map, self.decision, self.inspector.preprocess.spec.roi
            ),
        }

    def picture(self, image: np.ndarray, found: Inspection) -> "Image":
        """The heat map over the region of interest of an image (H, W, C) in 0..1."""
        return heat_map(
            self.inspector.preprocess.region(image), found.map, self.decision["map_top"]
        )


def display_span(decision: dict[str, Any]) -> float:
    """The distance below the threshold at which the displayed score is 0."""
    return decision.get("display_span") or Display.of(decision["threshold"]).span


def reported_regions(
    map: np.ndarray, decision: dict[str, Any], roi: tuple[int, int, int, int] | None
) -> list[dict[str, Any]]:
    """Regions of the map above the pixel threshold, boxes in pixels of the original image."""
    if decision.get("pixel_threshold") is None:
        return []
    filters = decision.get("region_min_area", 1), decision.get("region_opening", 0)
    found = find_map_regions(
        map, decision["pixel_threshold"], *filters, origin=roi[:2] if roi else (0, 0)
    )
    return [asdict(one) for one in found]


def read_decision(folder: Path) -> dict[str, Any]:
    """threshold.json of a release."""
    path = folder / "threshold.json"
    if not path.is_file():
        raise StoreError(f"{folder} holds no threshold.json; it is not a release")
    decision = json.loads(path.read_text())
    if decision["threshold"] is None:
        raise StoreError(f"{path} holds no threshold; give the product more good images and run")
    return decision
