"""Features of images that several fits share: a folder with a file for each layer and image."""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ad_models.budget import disk
from ad_models.feature_store import Features


class FeatureFolder:
    """A store that outlives a process, and that processes share.

    most: bytes of all files. The files that were used least recently go first, at the beginning and
    where new ones need their space; no file goes that was used since the beginning. A file appears
    whole or not at all; one that is damaged counts as missing and is written again.
    """

    def __init__(self, folder: Path, most: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        place, self.folder, self.lock = disk(folder), folder, threading.Lock()
        self.began = time.time()
        self.oldest = sorted(_files(folder), reverse=True)  # at the end
        self.used = sum(size for _, size, _ in self.oldest)
        self.most = min(most, self.used + place[1]) if place else 0
        self._make_room(0)

    def get(self, layers: Sequence[str], image: str) -> Features | None:
        found = [self._read(self._path(layer, image)) for layer in layers]
        known = [one for one in found if one is not None]
        return (
            Features([maps for maps, _ in known], known[0][1]) if len(known) == len(found) else None
        )

    def put(self, layers: Sequence[str], image: str, features: Features) -> None:
        for layer, maps in zip(layers, features.maps, strict=True):
            path = self._path(layer, image)
            with self.lock:
                if path.exists() or not self._make_room(maps.nbytes):
                    continue
                self.used += maps.nbytes
            self._write(path, maps, features.shape)

    def _path(self, layer: str, image: str) -> Path:
        return self.folder / layer / f"{image}.safetensors"

    def _read(self, path: Path) -> tuple[Tensor, tuple[int, int]] | None:
        """Maps (N, C, h, w), and height and width of the region of interest."""
        try:
            with safe_open(path, framework="pt") as file:
                height, width = (int(side) for side in file.metadata()["shape"].split())
                maps = file.get_tensor("maps").movedim(-1, 1)
            os.utime(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, TypeError, KeyError, ValueError):
            path.unlink(missing_ok=True)  # damaged
            return None
        return maps, (height, width)

    def _write(self, path: Path, maps: Tensor, shape: tuple[int, int]) -> None:
        partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
        try:
            path.parent.mkdir(exist_ok=True)
            about = {"shape": f"{shape[0]} {shape[1]}"}
            save_file({"maps": maps.movedim(1, -1).contiguous()}, partial, metadata=about)
            partial.replace(path)
        except (OSError, SafetensorError):  # the disk is full: the fit goes on without
            self.most = 0
            with suppress(OSError):
                partial.unlink()

    def _make_room(self, size: int) -> bool:
        """Whether `size` bytes may be written, after the removal of old files."""
        while self.oldest and self.used + size > self.most:
            _, freed, path = self.oldest.pop()
            with suppress(FileNotFoundError):
                if path.stat().st_mtime >= self.began:
                    continue
                path.unlink()
            self.used -= freed
        return self.used + size <= self.most


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """When each file below the folder was last used, its bytes, its path."""
    found = []
    for path in folder.rglob("*.*"):
        with suppress(FileNotFoundError):  # another process has removed it
            about = path.stat()
            found.append((about.st_mtime, about.st_size, path))
    return found
