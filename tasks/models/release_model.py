"""A loaded release: decision, displayed score, regions and picture from its model's output."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tasks.decisions.display import Display
from tasks.decisions.map_regions import find_map_regions, reported_pixels
from tasks.decisions.threshold import classify_score
from tasks.documents.threshold import THRESHOLD, Thresholds
from tasks.images.pictures import heat_map
from tasks.images.resample import resize_image
from tasks.images.sheet import sheet
from tasks.models.device import inspecting_device
from tasks.models.inspector import Inspection, Inspector
from tasks.workspace.errors import StoreError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class ReleaseModel:
    """Decides with the raw score: above the threshold an image is a defect."""

    inspector: Inspector
    decision: Thresholds

    @classmethod
    def load(cls, folder: Path, device: str) -> Self:
        """Load a release from its folder."""
        decision = read_decision(folder)
        return cls(Inspector.load(folder, inspecting_device(device)), decision)

    def warm_up(self) -> None:
        """Inspect an empty image: the first one of a person or a camera pays for nothing, and a
        model that cannot score says so now."""
        spec = self.inspector.preprocess.spec
        height, width = spec.size
        if spec.roi:
            left, top, width, height = spec.roi
            height, width = top + height, left + width
        self.inspector.inspect(np.zeros((height, width, 3), np.float32))

    @property
    def limits(self) -> tuple[float, float]:
        """Raw scores up to which a part is accepted, and above which it is rejected."""
        return self.decision.limits

    def result(self, found: Inspection) -> dict[str, Any]:
        """Everything that is reported for an image, ready for JSON."""
        accept, reject = self.limits
        display = Display(reject, display_span(self.decision))
        return {
            "score": found.score,
            "threshold": reject,
            "accept": accept,
            "decision": classify_score(found.score, reject, accept),
            "displayed": display.score(found.score),
            "displayed_text": display.text(found.score, 1),
            "regions": reported_regions(
                found.map, self.decision, self.inspector.preprocess.spec.roi
            ),
        }

    def picture(self, image: np.ndarray, found: Inspection) -> "Image":
        """The heat map over the region of interest of an image (H, W, C) in 0..1."""
        seen = self.inspector.preprocess.view(image)
        return heat_map(seen, found.map, self.decision.map_top)

    def sheet(self, image: np.ndarray, found: Inspection) -> "Image":
        """The same with the contour of what was found, the verdict and the scale."""
        accept, reject = self.limits
        decided = classify_score(found.score, reject, accept)
        return sheet(
            self.picture(image, found),
            reported_mask(found.map, self.decision),
            f"{decided}   score {found.score:.4g}   threshold {reject:.4g}",
            figure(self.decision.pixel_threshold),
        )

    def background(self, image: np.ndarray, side: int) -> np.ndarray:
        """The region of interest of an image (H, W, C) in 0..1 in grey (h, w, 1), no side of it
        above `side` pixels: what `small_picture` draws on."""
        grey = self.inspector.preprocess.view(image).mean(axis=2, keepdims=True)
        return resize_image(grey, bounded(grey.shape, side)).transpose(1, 2, 0)

    def small_picture(self, background: np.ndarray, found: Inspection) -> "Image":
        """The heat map over a background (h, w, 1), at its size."""
        height, width = background.shape[:2]
        map = resize_image(found.map[..., None], (height, width))[0]
        return heat_map(background, map, self.decision.map_top)


def bounded(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of the same proportions, the longer one at most `side` pixels."""
    height, width = shape[:2]
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def display_span(decision: Thresholds) -> float:
    """How far below the threshold the displayed score is 0."""
    return decision.display_span or Display.of(decision.limits[1]).span


def reported_regions(
    map: np.ndarray, decision: Thresholds, roi: tuple[int, int, int, int] | None
) -> list[dict[str, Any]]:
    """Regions of the map above the pixel threshold, boxes in pixels of the original image."""
    if decision.pixel_threshold is None:
        return []
    filters = decision.region_min_area, decision.region_opening
    origin = roi[:2] if roi else (0, 0)
    found = find_map_regions(map, decision.pixel_threshold, *filters, origin=origin)
    return [asdict(one) for one in found]


def reported_mask(map: np.ndarray, decision: Thresholds) -> np.ndarray | None:
    """Pixels (H, W) of the regions that are reported; None where no limit says which."""
    if decision.pixel_threshold is None:
        return None
    filters = decision.region_min_area, decision.region_opening
    return reported_pixels(map, decision.pixel_threshold, *filters)


def figure(value: float | None) -> str:
    """A raw value for a reader; empty without one."""
    return "" if value is None else f"{value:.4g}"


def read_decision(folder: Path) -> Thresholds:
    """What decides in a release; a StoreError where nothing does."""
    path = folder / THRESHOLD
    if not path.is_file():
        raise StoreError(f"{folder} holds no threshold.json; it is no release")
    decision = Thresholds.read(path)
    if decision.threshold is None:
        raise StoreError(f"{path} holds no threshold; give the product more good images and run")
    return decision
