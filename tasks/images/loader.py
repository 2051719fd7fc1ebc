"""Batches of preprocessed images from disk. Threads decode ahead; images are cached if they fit."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ad_models import Batch
from tasks.images.preprocess import Preprocess
from tasks.images.read_image import read_image
from tasks.images.tiles import cut_tiles

CACHE = 2 << 30  # bytes of decoded images kept between epochs
THREADS = 2
T = TypeVar("T")


class ImageLoader:
    """Iterate over images as `Batch`es, with `shuffle` in a new order every time.

    The order comes from torch's generator: a seeded fit always has the same order, and a resumed
    fit continues it. With tiling, each image gives several tiles. cache: bytes of images that stay
    in memory for the next epoch.
    """

    def __init__(
        self,
        paths: list[Path],
        preprocess: Preprocess,
        batch_size: int,
        shuffle: bool = False,
        category: str = "",
        cache: int = CACHE,
    ) -> None:
        self.paths = paths
        self.preprocess = preprocess
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.category = category
        self._kept: dict[int, Tensor] = {}
        self._free = cache

    def __len__(self) -> int:
        return (len(self.paths) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        for images in read_ahead(self.parts(), self._image):
            stacked = torch.cat(images)
            yield Batch(stacked, [self.category] * len(stacked))

    def parts(self) -> list[list[int]]:
        """Numbers of the images of each batch, in the order of this pass."""
        count = len(self.paths)
        order = torch.randperm(count).tolist() if self.shuffle else list(range(count))
        return [order[i : i + self.batch_size] for i in range(0, count, self.batch_size)]

    def read(self, index: int) -> tuple[Tensor, tuple[int, int]]:
        """Tiles (N, 3, h, w) of one image, without tiling N is 1; and the height and width of its
        region of interest."""
        image = read_image(self.paths[index])
        seen, tile = self.preprocess(image), self.preprocess.spec.tile
        height, width = self.preprocess.region(image).shape[:2]
        tiles = cut_tiles(seen, tile) if tile else seen[None]
        return torch.from_numpy(tiles), (height, width)

    def _image(self, index: int) -> Tensor:
        if index in self._kept:
            return self._kept[index]
        tiles, _ = self.read(index)
        if self._free >= (size := tiles.numel() * tiles.element_size()):
            self._kept[index] = tiles
            self._free -= size
        return tiles


def read_ahead(parts: list[list[int]], read: Callable[[int], T]) -> Iterator[list[T]]:
    """What `read` gives for the numbers of each part; threads are one part ahead."""
    with ThreadPoolExecutor(THREADS) as pool:
        ahead: list[list[Future[T]]] = []
        for part in parts:
            ahead.append([pool.submit(read, index) for index in part])
            if len(ahead) == 2:
                yield [future.result() for future in ahead.pop(0)]
        for rest in ahead:
            yield [future.result() for future in rest]


class MixedLoader:
    """Batches of several loaders in a new order every time; each batch comes from one loader."""

    def __init__(self, loaders: list[ImageLoader]) -> None:
        self.loaders = loaders

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders)

    def __iter__(self) -> Iterator[Batch]:
        batches = [iter(loader) for loader in self.loaders]
        turns = [at for at, loader in enumerate(self.loaders) for _ in range(len(loader))]
        for turn in torch.randperm(len(turns)).tolist():
            yield next(batches[turns[turn]])
