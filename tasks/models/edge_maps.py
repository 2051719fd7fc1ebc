"""Maps of the good images with the highest calibration scores.

They set the threshold, so a person should see where each is unusual. The model that ships has seen
them and would show nothing: the maps are those of the models that left the image out.
"""

import heapq
import io
from pathlib import Path
from typing import Any

import numpy as np

from tasks.models.inspector import Inspection
from tasks.workspace.files import write_bytes

MOST = 10  # images


class EdgeMaps:
    """Keeps the maps of the highest scores."""

    def __init__(self) -> None:
        self.kept: list[tuple[float, str, np.ndarray]] = []  # a heap, the lowest first

    def add(self, path: str, found: Inspection) -> None:
        """Take the map (h, w) of an image, as the algorithm gave it, if its score is high."""
        if len(self.kept) == MOST and (found.score, path) <= self.kept[0][:2]:
            return
        # half precision is enough for a picture; path is unique, so maps are never compared
        heapq.heappush(self.kept, (found.score, path, found.model_map.astype(np.float16)))
        if len(self.kept) > MOST:
            heapq.heappop(self.kept)

    def write(self, path: Path) -> None:
        """One array for each image, by its path."""
        content = io.BytesIO()
        maps: dict[str, Any] = {name: map for _, name, map in sorted(self.kept)[::-1]}
        np.savez_compressed(content, **maps)
        write_bytes(path, content.getvalue())


def read_edge_maps(path: Path) -> dict[str, np.ndarray]:
    """Maps (h, w) by the path of the image; empty where there is no file."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name].astype(np.float32) for name in found.files}
