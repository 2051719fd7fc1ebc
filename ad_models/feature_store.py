"""Features of images that pass a frozen backbone once and are read again."""

import os
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ad_models.budget import disk


class Features(NamedTuple):
    """Of one image, which is seen as N tiles; without tiling N is 1."""

    maps: list[Tensor]  # (N, C, h, w) of each layer, float32, on the CPU
    shape: tuple[int, int]  # height and width of the region of interest, pixels


class FeatureStore(Protocol):
    """Keeps features by layer (a text that names the backbone up to it) and image (its hash)."""

    def get(self, layers: Sequence[str], image: str) -> Features | None:
        """Features of these layers; None if not all of them are here."""

    def put(self, layers: Sequence[str], image: str, features: Features) -> None:
        """Keep them, if there is space. Threads may call at the same time."""


class TemporaryFeatures:
    """A store in a file without a name, deleted with this object. It is read, not mapped: mapped
    pages would count as memory of this process."""

    def __init__(self, folder: Path | None = None) -> None:
        place = disk(folder)
        self.left = place[1] if place else 0  # bytes; none where the disk is itself in memory
        self.file = tempfile.TemporaryFile(dir=place[0] if place else None)  # noqa: SIM115
        weakref.finalize(self, self.file.close)
        self.places: dict[tuple[str, str], tuple[int, torch.Size]] = {}  # offset and shape of maps
        self.shapes: dict[str, tuple[int, int]] = {}
        self.end, self.lock = 0, Lock()

    def get(self, layers: Sequence[str], image: str) -> Features | None:
        found = [self.places.get((layer, image)) for layer in layers]
        maps = [self._read(*place) for place in found if place is not None]
        return Features(maps, self.shapes[image]) if len(maps) == len(layers) else None

    def put(self, layers: Sequence[str], image: str, features: Features) -> None:
        with self.lock:
            self.shapes[image] = features.shape
            for layer, maps in zip(layers, features.maps, strict=True):
                if maps.nbytes > self.left or (layer, image) in self.places:
                    continue
                side_by_side = maps.movedim(1, -1).contiguous()
                os.pwrite(self.file.fileno(), side_by_side.numpy().data, self.end)
                self.places[layer, image] = self.end, side_by_side.shape
                self.end += maps.nbytes
                self.left -= maps.nbytes

    def _read(self, offset: int, shape: torch.Size) -> Tensor:
        maps = torch.empty(shape)
        os.preadv(self.file.fileno(), [maps.numpy().data], offset)
        return maps.movedim(-1, 1)
