"""Maps of the good images with the highest calibration scores.

They set the threshold, so a person should see where each is unusual. The model that ships has seen
them and would show nothing: the maps are those of the models that left the image out.
"""

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
        self.kept: dict[str, tuple[float, np.ndarray]] = {}

    def add(self, path: str, found: Inspection) -> None:
        """Take the map (h, w) of an image, as the algorithm gave it, if its score is high."""
        # half precision is enough for a picture
        self.kept[path] = found.score, found.model_map.astype(np.float16)
        if len(self.kept) > MOST:
            del self.kept[min(self.kept, key=self._rank)]

    def _rank(self, path: str) -> tuple[float, str]:
        return self.kept[path][0], path

    def write(self, path: Path) -> None:
        """One array for each image, by its path."""
        content = io.BytesIO()
        order = sorted(self.kept, key=self._rank, reverse=True)
        maps: dict[str, Any] = {name: self.kept[name][1] for name in order}
        np.savez_compressed(content, **maps)
        write_bytes(path, content.getvalue())


def read_edge_maps(path: Path) -> dict[str, np.ndarray]:
    """Maps (h, w) by the path of the image; empty where there is no file."""
    if not path.is_file():
        return {}
    with np.load(path, allow_pickle=False) as found:
        return {name: found[name].astype(np.float32) for name in found.files}
